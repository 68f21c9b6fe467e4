"""baresip 1.0.0 as Debian has it, told what to do over its control port (netstrings with JSON in them).

It has no file as a player (`aufile` is a source only), so that it plays to a `Loudspeaker`. It looks for a change of
its addresses every 60 s, not before.
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.peers.loudspeaker import Loudspeaker
from segue.lab.peers.program import Program, wait_until
from segue.lab.peers.sound import Recording, write_coded

CONTROL_PORT = 4444
_MODULES = ["g711.so", "g722.so", "opus.so", "srtp.so", "alsa.so", "aufile.so", "aubridge.so", "ice.so"]
_APPLICATIONS = ["menu.so", "ctrl_tcp.so"]
_CODECS = {"PCMA": (8000, 1), "PCMU": (8000, 1), "G722": (16000, 1), "opus": (48000, 2)}  # Hz, channels


class Baresip:
    """One phone. `proxy` is `HOST:PORT`, brackets around IPv6; `keying` is sdes or none."""

    def __init__(
        self,
        host: Namespace,
        folder: Path,
        *,
        aor: str,
        password: str,
        proxy: str,
        transport: str = "tls",
        keying: str = "sdes",
        ca: str = "",
        codec: str = "PCMA",
        answers: bool = True,
        ice: bool = False,
    ) -> None:
        self.program = Program(host, folder, "baresip")
        self._host = host
        self._control: socket.socket | None = None
        self._unread = b""
        self.seen: list[dict[str, Any]] = []
        rate, channels = _CODECS[codec]
        parameters = [
            f"auth_user={aor.partition(':')[2].partition('@')[0]}",
            f"auth_pass={password}",
            f'outbound="sip:{proxy};transport={transport}"',
            f"audio_codecs={codec}/{rate}/{channels}",
            f"answermode={'auto' if answers else 'manual'}",
            "regint=600",
            "ptime=20",
        ]
        if keying == "sdes":
            parameters.append("mediaenc=srtp-mand")
        if ice:
            parameters.append("medianat=ice")
        (folder / "accounts").touch(0o600)
        (folder / "accounts").write_text(f"<{aor};transport={transport}>;{';'.join(parameters)}\n")
        write_coded(folder / "speech.wav", rate, channels)
        self._loudspeaker = Loudspeaker(folder, "loudspeaker", rate, channels)
        self.heard = Recording(self._loudspeaker.recording, rate)
        lines = [
            "poll_method epoll",
            f"audio_source aufile,{folder}/speech.wav",
            "audio_player alsa,loudspeaker",
            "audio_alert aubridge,bell",
            "ausrc_format s16",
            "auplay_format s16",
            "auenc_format s16",
            "audec_format s16",
            "module_path /usr/lib/baresip/modules",
            f"ctrl_tcp_listen 127.0.0.1:{CONTROL_PORT}",
            *(f"module {name}" for name in _MODULES),
            "module_tmp account.so",
            *(f"module_app {name}" for name in _APPLICATIONS),
        ]
        if ca:
            lines.append(f"sip_cafile {ca}")
        (folder / "config").write_text("\n".join(lines) + "\n")

    def start(self, timeout: float = 15.0) -> None:
        """Returns when it has registered."""
        self.program.launch(["baresip", "-f", str(self.program.folder), "-s"])
        self._control = wait_until(self._connect, timeout, "baresip's control port", self.program.log)
        self.wait_for("REGISTER_OK", timeout)

    def _connect(self) -> socket.socket | None:
        connection = self._host.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.connect(("127.0.0.1", CONTROL_PORT))
        except OSError:
            connection.close()
            if not self.program.running:
                raise LocalError("baresip has ended", f"see {self.program.log}") from None
            return None
        connection.setblocking(False)
        return connection

    def tell(self, command: str, parameters: str = "") -> None:
        """One of its commands by its long name."""
        assert self._control is not None
        text = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    def _read(self) -> None:
        assert self._control is not None
        with contextlib.suppress(BlockingIOError):
            while octets := self._control.recv(65536):
                self._unread += octets
        while b":" in self._unread:
            length, _, rest = self._unread.partition(b":")
            if len(rest) <= int(length):
                return
            self.seen.append(json.loads(rest[: int(length)]))
            self._unread = rest[int(length) + 1 :]

    def said(self, kind: str) -> list[dict[str, Any]]:
        """All events of a type so far: REGISTER_OK, CALL_ESTABLISHED, CALL_CLOSED …"""
        self._read()
        return [line for line in self.seen if line.get("type") == kind]

    def wait_for(self, kind: str, timeout: float = 10.0) -> dict[str, Any]:
        found = wait_until(lambda: self.said(kind), timeout, f"baresip's {kind}", self.program.log)
        event: dict[str, Any] = found[-1]
        return event

    def wait_ringing(self, timeout: float = 10.0) -> None:
        self.wait_for("CALL_INCOMING", timeout)

    def answer(self) -> None:
        self.tell("accept")

    def call(self, uri: str) -> None:
        self.tell("dial", uri)

    def wait_up(self, timeout: float = 10.0) -> None:
        self.wait_for("CALL_ESTABLISHED", timeout)

    def wait_closed(self, timeout: float = 10.0) -> None:
        self.wait_for("CALL_CLOSED", timeout)

    def hold(self) -> None:
        self.tell("hold")

    def resume(self) -> None:
        self.tell("resume")

    def digit(self, key: str) -> None:
        self.tell("sndcode", key)

    def wait_digit(self, key: str, timeout: float = 10.0) -> None:
        """Until it has told of a key that we pressed."""
        wait_until(
            lambda: any(line.get("param") == key for line in self.said("CALL_DTMF_START")),
            timeout,
            f"baresip's {key!r}",
            self.program.log,
        )

    def hang_up(self) -> None:
        self.tell("hangup")

    def stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        self.program.stop()
        self._loudspeaker.close()
