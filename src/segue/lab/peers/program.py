"""A program of somebody else in a namespace of the lab: on a pseudo terminal, with a log, ended for certain."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace

_PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def available(program: str) -> bool:
    return shutil.which(program, path=_PLACES) is not None


def installed(program: str) -> str:
    """The program's file. LocalError when this machine has none."""
    found = shutil.which(program, path=_PLACES)
    if found is None:
        raise LocalError(
            f"there is no {program} here", "install it from Debian: tools/run_tests.py --peers does"
        )
    return found


def wait_until(ready: Callable[[], Any], timeout: float, what: str, see: Path | None = None) -> Any:
    """What `ready` says as soon as it says something true. LocalError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > end:
            raise LocalError(f"waited {timeout:g} s for {what}", f"see {see}" if see else "")
        time.sleep(0.02)


class Program:
    """Runs `command` in `folder`, which is its home; what it prints is in `log`."""

    def __init__(self, host: Namespace, folder: Path, name: str) -> None:
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._host = host
        self._process: subprocess.Popen[Any] | None = None
        self._terminal = -1
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self, command: Sequence[str]) -> None:
        environment = {"HOME": str(self.folder), "PATH": _PLACES, "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        terminal, inside = pty.openpty()
        with open(self.log, "ab") as log:
            self._process = self._host.popen(
                [installed(command[0]), *command[1:]],
                stdin=inside,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
            )
        os.close(inside)
        self._terminal = terminal

    def type(self, line: str) -> None:
        """A line on its terminal."""
        os.write(self._terminal, line.encode() + b"\n")

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_printed(self, text: str, timeout: float = 15.0) -> None:
        wait_until(lambda: text in self.printed(), timeout, f"{text!r}", self.log)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float) -> int:
        """Its exit status. LocalError when it does not end in time."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LocalError(f"{self.log.stem} does not end", f"see {self.log}") from None

    def stop(self) -> None:
        """End it; kindly first, since some write their recordings then."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1
