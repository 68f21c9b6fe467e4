"""Network namespaces that live as long as the process that made them.

A namespace is held by an open file descriptor of the lab's process and by the processes that run in it;
nothing is written to /var/run/netns. When the lab's process dies, even by SIGKILL, the descriptor is closed and
the processes it started die with it (PR_SET_PDEATHSIG), so that the kernel removes the namespace and all its
links.

Works as root, or for any user inside a user namespace (`enter_user_namespace`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from segue.base.errors import LocalError
from segue.net.rtnetlink_write import Rtnetlink

Result = TypeVar("Result")

MARKER = "segue-lab"
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_ENTERED = "SEGUE_USER_NAMESPACE"
_REMEDY = (
    "run as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0)"
)

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _setns(descriptor: int, kind: int) -> None:
    _checked(_libc.setns(descriptor, kind), "setns")


def _unshare(kinds: int) -> None:
    _checked(_libc.unshare(kinds), "unshare")


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    _checked(_libc.mount(source, target, kind, ctypes.c_ulong(flags), None), f"mount {target.decode()}")


def inside_lab() -> bool:
    """Whether this process runs in a network namespace that the lab made.

    The sign is the alias of the loopback interface, which the lab sets to `segue-lab`; a host's own namespace
    has none. Where /proc shows that of process 1, being in the same one is a no whatever the alias says.
    """
    with contextlib.suppress(OSError):
        if os.readlink("/proc/1/ns/net") == os.readlink("/proc/thread-self/ns/net"):
            return False
    with contextlib.suppress(OSError), Rtnetlink() as rtnetlink:
        loopback = rtnetlink.link("lo")
        return loopback is not None and loopback.alias.startswith(MARKER)
    return False


def can_make_namespaces() -> bool:
    """Whether this process may make network namespaces as it is."""
    try:
        in_thread(_unshare, _CLONE_NEWNET)
    except OSError:
        return False
    return True


def enter_user_namespace() -> None:
    """Become able to make namespaces: nothing for root; for others the program starts anew in a user
    namespace in which it is root (the process id stays). Call it before anything is opened or written.

    Raises LocalError when this system does not permit it.
    """
    if can_make_namespaces():
        return
    if os.environ.get(_ENTERED):
        raise LocalError("no permission to make network namespaces, not even in a user namespace", _REMEDY)
    if not can_make_user_namespaces():
        raise LocalError("no permission to make a user namespace", _REMEDY)
    sys.stdout.flush()
    sys.stderr.flush()
    again = in_user_namespace([sys.executable, *sys.orig_argv[1:]])
    os.execve(again[0], again, os.environ | {_ENTERED: "1"})


def can_make_user_namespaces() -> bool:
    """Whether a program started by this process may make a user namespace, with networks in it."""
    return subprocess.run(in_user_namespace(["true"]), capture_output=True, check=False).returncode == 0


def in_user_namespace(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` as root of a user namespace of its own. By a fresh interpreter, since
    unshare(CLONE_NEWUSER) is refused to a process with threads."""
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *argv]


_BOOTSTRAP = f"""
import ctypes, os, sys
uid, gid = os.geteuid(), os.getegid()
if ctypes.CDLL(None, use_errno=True).unshare({_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWNET}):
    sys.exit(1)
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {{uid}} 1"), ("gid_map", f"0 {{gid}} 1")):
    with open(f"/proc/self/{{name}}", "w") as file:
        file.write(text)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it in a thread of its own, so that what it does to the thread's namespaces ends with it."""
    result: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function(*arguments))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


class Namespace:
    """A network namespace, and how to get into it from the process that made it."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.resolver: Path | None = None  # what its processes see as /etc/resolv.conf
        self._processes: list[subprocess.Popen[Any] | asyncio.subprocess.Process] = []

    @classmethod
    def create(cls, name: str) -> Namespace:
        """A new namespace with its loopback up. LocalError when that is not permitted."""
        try:
            descriptor = in_thread(_new_namespace)
        except PermissionError:
            raise LocalError("no permission to make network namespaces", _REMEDY) from None
        made = cls(name, descriptor)
        with made.rtnetlink() as rtnetlink:
            rtnetlink.set_link(1, up=True, alias=MARKER)
        return made

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The function's result, called in this namespace; sockets it makes stay in it."""

        def inside() -> Result:
            _setns(self.descriptor, _CLONE_NEWNET)
            return function(*arguments)

        return in_thread(inside)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this namespace, for use from any thread."""
        return self.call(socket.socket, family, kind, protocol)

    def rtnetlink(self) -> Rtnetlink:
        """This namespace's tables."""
        return self.call(Rtnetlink)

    def sysctl(self, key: str, value: int | str) -> None:
        """`key` with slashes, below /proc/sys/net. OSError when the kernel has no such key."""
        self.call(Path("/proc/sys/net", key).write_text, str(value))

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in this namespace. It gets a session of its own, and dies with the thread that
        called this: call from one that lives as long as the lab."""
        entrance = self.entrance()  # makes system calls only, so that a fork with threads is no danger
        process = subprocess.Popen(argv, preexec_fn=entrance, start_new_session=True, **options)  # noqa: PLW1509
        self._processes.append(process)
        return process

    async def start(self, *argv: str, **options: Any) -> asyncio.subprocess.Process:
        """The same for a program that asyncio waits for."""
        process = await asyncio.create_subprocess_exec(
            *argv, preexec_fn=self.entrance(), start_new_session=True, **options
        )
        self._processes.append(process)
        return process

    def run(self, argv: Sequence[str], timeout: float = 30.0) -> str:
        """What the program says on its standard output. LocalError when it fails."""
        process = self.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            output: str = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            _end(process)
            raise LocalError(f"{' '.join(argv)} in {self.name} takes longer than {timeout} s", "") from None
        self._processes.remove(process)
        if process.returncode:
            raise LocalError(f"{' '.join(argv)} failed in {self.name}: {output.strip()}", "see above")
        return output

    def entrance(self) -> Callable[[], None]:
        """What a child does between fork and exec: enter the namespace, see its own /etc/resolv.conf and
        /sys (in a mount namespace of its own), and die with its parent."""
        parent = os.getpid()
        resolver = bytes(self.resolver) if self.resolver else b""
        target = os.path.realpath("/etc/resolv.conf").encode()
        descriptor = self.descriptor

        def enter() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            _setns(descriptor, _CLONE_NEWNET)
            _unshare(_CLONE_NEWNS)
            _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
            with contextlib.suppress(OSError):  # without it /sys/class/net shows the host's interfaces
                _mount(b"sysfs", b"/sys", b"sysfs", 0)
            if resolver and os.path.exists(target):
                _mount(resolver, target, None, _MS_BIND)

        return enter

    def close(self) -> None:
        """End what still runs in it and let it go."""
        for process in self._processes:
            _end(process)
        self._processes.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _new_namespace() -> int:
    _unshare(_CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _end(process: subprocess.Popen[Any] | asyncio.subprocess.Process) -> None:
    """Kill the process with all it has started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if isinstance(process, subprocess.Popen):
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
