"""linphonec 5.1.65 as Debian has it, told what to do by lines on its terminal."""

from __future__ import annotations

import contextlib
from configparser import ConfigParser
from pathlib import Path

from segue.base.errors import LocalError
from segue.lab.networks.namespaces import Namespace
from segue.lab.peers.program import Program, wait_until
from segue.lab.peers.sound import Recording, write_coded

_ENCRYPTION = {"sdes": "srtp", "none": "none"}
_RATES = {"PCMA": 8000, "PCMU": 8000, "G722": 16000, "opus": 48000}  # Hz, of what it plays and records
_CODECS = ("opus/48000/2", "speex/16000", "speex/8000", "PCMU/8000", "PCMA/8000", "G722/8000", "GSM/8000")


class Linphone:
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
        self.program = Program(host, folder, "linphonec")
        self._answers = answers
        rate = _RATES[codec]
        self.heard = Recording(folder / "heard.wav", rate)
        self.debug_log = folder / "debug.log"
        for place in (".local/share/linphone", ".config/linphone"):  # without them its core never starts
            (folder / place).mkdir(parents=True, exist_ok=True)
        write_coded(folder / "speech.wav", rate)
        settings = ConfigParser(interpolation=None)
        settings.optionxform = str  # type: ignore[assignment]
        settings.read_dict(_settings(aor, password, proxy, transport, keying, ca, codec))
        if ice:
            settings.read_dict(_ice(proxy))
        file = folder / "linphonerc"
        file.touch(0o600)
        with file.open("w") as opened:
            settings.write(opened, space_around_delimiters=False)

    def start(self, timeout: float = 15.0) -> None:
        """Returns when it has registered."""
        folder = self.program.folder
        self.program.launch(
            [
                "linphonec",
                "-c",
                f"{folder}/linphonerc",
                *(["-a"] if self._answers else []),
                "-d",
                "6",
                "-l",
                f"{folder}/debug.log",
            ]
        )
        self.program.wait_printed("linphonec>", timeout)
        self.program.type("soundcard use files")
        self.program.type(f"play {folder}/speech.wav")
        self.program.type(f"record {self.heard.path}")
        self._wait_logged("Register refresher [200]", timeout)

    def _wait_logged(self, text: str, timeout: float) -> None:
        log = self.debug_log
        wait_until(
            lambda: log.exists() and text in log.read_text(errors="replace"), timeout, f"{text!r}", log
        )

    def wait_ringing(self, timeout: float = 10.0) -> None:
        self._wait_logged("to LinphoneCallIncomingReceived", timeout)

    def answer(self) -> None:
        self.program.type("answer")

    def call(self, uri: str) -> None:
        self.program.type(f"call {uri}")

    def wait_up(self, timeout: float = 10.0) -> None:
        self._wait_logged("to LinphoneCallStreamsRunning", timeout)

    def wait_closed(self, timeout: float = 10.0) -> None:
        self._wait_logged("to LinphoneCallReleased", timeout)

    def hold(self) -> None:
        self.program.type("pause")

    def resume(self) -> None:
        self.program.type("resume")

    def digit(self, key: str) -> None:
        self.program.type(key)

    def wait_digit(self, key: str, timeout: float = 10.0) -> None:
        """Until it has told of a key that we pressed."""
        self.program.wait_printed(f"Receiving tone {key}", timeout)

    def hang_up(self) -> None:
        self.program.type("terminate")

    def stop(self) -> None:
        if self.program.running:
            self.program.type("quit")  # it unregisters, and closes its recording
            with contextlib.suppress(LocalError):
                wait_until(lambda: not self.program.running, 3, "linphonec's end")
        self.program.stop()


def _ice(proxy: str) -> dict[str, dict[str, object]]:
    """It speaks ICE, and asks the STUN server beside the proxy where it seems to be."""
    server = proxy.rpartition(":")[0]
    return {
        "net": {"mtu": 1300, "nat_policy_ref": "ice"},
        "nat_policy_0": {"ref": "ice", "stun_server": server, "protocols": "stun,ice"},
    }


def _settings(
    aor: str, password: str, proxy: str, transport: str, keying: str, ca: str, codec: str
) -> dict[str, dict[str, object]]:
    """Its configuration file, by sections."""
    user, _, domain = aor.partition(":")[2].partition("@")
    ports = {name: -1 if name == transport else 0 for name in ("udp", "tcp", "tls")}
    sections: dict[str, dict[str, object]] = {
        "sip": {
            **{f"sip_{name}_port": port for name, port in ports.items()},
            "default_proxy": 0,
            "register_only_when_network_is_up": 0,
            "media_encryption": _ENCRYPTION[keying],
            "root_ca": ca,
            "verify_server_certs": 1,
            "verify_server_cn": 0,  # the certificate is the domain's, the route an address
            "guess_hostname": 1,
            "use_ipv6": int(proxy.startswith("[")),
        },
        "proxy_0": {
            "reg_proxy": f"<sip:{proxy};transport={transport}>",
            "reg_route": f"<sip:{proxy};transport={transport};lr>",
            "reg_identity": f"<{aor}>",
            "reg_expires": 600,
            "reg_sendregister": 1,
            "publish": 0,
        },
        "auth_info_0": {"username": user, "passwd": password, "realm": domain, "domain": domain},
        "sound": {"playback_dev_id": "", "echocancellation": 0, "agc": 0},
        "net": {"mtu": 1300, "firewall_policy": 0},
        "misc": {"media_encryption_mandatory": int(keying != "none")},
    }
    for number, name in enumerate(_CODECS):
        kind, clock, channels = f"{name}/1".split("/")[:3]
        enabled = int(kind.lower() == codec.lower())
        codec_facts = {"mime": kind, "rate": clock, "channels": channels, "enabled": enabled}
        sections[f"audio_codec_{number}"] = codec_facts
    return sections
