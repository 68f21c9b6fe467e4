"""What a run of the lab is told. Frozen, validated at construction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from segue.base.errors import LocalError

SCENARIOS = {
    "walk": "office WLAN, 3G on the street, café WLAN",
    "two-subnets": "one interface between two subnets, again and again",
}
MODES = {"reinvite": "hard: break before make", "soft": "make before break"}
BREAKS = ("carrier", "address", "interface")
SIGNALLING = ("tls", "tcp", "udp")
PHONES = ("segue", "baresip", "linphonec")
KEYED_OVER = ("tls",)
CODED = "coded"  # the talk of which each 40 ms tells which it is


@dataclass(frozen=True)
class RunOptions:
    """`link_time` and `overlap` in ms. `keying` empty: SDES over TLS, none over UDP and TCP, where keys could be
    read. `talk`: what both say: "coded" (which tells what was not heard), "speech" (recorded, human) or a
    WAV file. `attacks`: packets to forge and replay during each walk of a protected call (`two-subnets`: during all
    of it), and on weak phones for control. `challenge`: the server lets no nonce serve twice. `speed` in
    m/s; 0: 2, or 4 when there are several rounds."""

    scenario: str = "walk"
    mode: str = "reinvite"
    signalling: str = "tls"
    family: int = 6
    keying: str = ""
    suite: str = ""
    codec: str = "PCMA"
    links: str = "clean"
    link_time: float = 50.0
    overlap: float = 2000.0
    break_: str = "carrier"
    rounds: int = 1
    seed: int = 1
    caller: str = "mn"
    mn: str = "segue"
    cn: str = "segue"
    talk: str = CODED
    initial_sequence: int | None = None
    attacks: int = 1000
    speed: float = 0.0
    dad: str = "optimistic"
    challenge: bool = False

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.scenario, SCENARIOS, "scenario"),
            (self.mode, MODES, "mode"),
            (self.signalling, SIGNALLING, "signalling"),
            (self.break_, BREAKS, "way to break a link"),
            (self.family, (4, 6), "address family"),
            (self.caller, ("mn", "cn"), "caller"),
            (self.mn, PHONES, "phone"),
            (self.cn, PHONES, "phone"),
        ):
            if value not in known:
                raise LocalError(f"no {what} {value!r}", f"choose among {', '.join(map(str, known))}")
        if not 1 <= self.rounds <= 1000:
            raise LocalError(f"{self.rounds} rounds", "choose between 1 and 1000")
        if not 0 <= self.speed <= 10:
            raise LocalError(f"nobody walks {self.speed} m/s", "give up to 10, or 0 for the usual speed")
        if self.link_time < 0 or self.overlap < 0:
            raise LocalError("a time below zero", "give milliseconds")

    @property
    def agreed_keying(self) -> str:
        return self.keying or ("sdes" if self.signalling in KEYED_OVER else "none")

    @property
    def attacked(self) -> int:
        """Packets to forge and replay in all. A call in the clear is heard, not attacked: it would not last."""
        if self.agreed_keying == "none":
            return 0
        return self.attacks * (self.rounds if self.scenario == "walk" else 1)

    @property
    def topology(self) -> str:
        return "two-subnets" if self.scenario == "two-subnets" else "office-umts-cafe"

    def command(self) -> str:
        """The command that does this run again."""
        words = ["segue lab run", self.scenario]
        defaults = RunOptions(scenario=self.scenario)
        for name, value in asdict(self).items():
            if name != "scenario" and value != getattr(defaults, name):
                flag = f"--{name.rstrip('_').replace('_', '-')}"
                words.append(flag if value is True else f"{flag} {value}")
        return " ".join(words)

    def as_json(self) -> dict[str, Any]:
        return {name.rstrip("_"): value for name, value in asdict(self).items()}
