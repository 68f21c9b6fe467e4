"""What a run of the lab is told. Frozen, validated at construction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from segue.base.errors import LocalError
from segue.emulator.nat import KINDS
from segue.lab.modes import MODES, SPEECH

SCENARIOS = {
    "walk": "office WLAN, 3G on the street, café WLAN",
    "two-subnets": "between two subnets, again and again",
    "both-move": "the same at both ends, within 100 ms of each other",
    "nat-rebind": "nobody moves, but the mobile node's NAT forgets its mappings, again and again",
}
MOVERS = {"mn": ("mn",), "cn": ("cn",), "both": ("mn", "cn")}
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
    m/s; 0: 2, or 4 when there are several rounds. `nat`: "mn:KIND", "cn:KIND", "both:KIND" or two of them with a
    comma; `nat-rebind` has one at "mn" in any case. `family` 0: 4 when there are NATs, else 6. `mover` empty: the
    scenario's own. `relayed`: the attacks include relayed checks, which cost a move time."""

    scenario: str = "walk"
    mode: str = "migrate"
    signalling: str = "tls"
    family: int = 0
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
    nat: str = ""
    mover: str = ""
    speech: str = "continuous"
    relayed: bool = False

    def __post_init__(self) -> None:
        if not self.nat and self.scenario == "nat-rebind":
            object.__setattr__(self, "nat", "mn:port-restricted")
        if not self.family:
            object.__setattr__(self, "family", 4 if self.nat else 6)
        if not self.mover:
            object.__setattr__(self, "mover", "both" if self.scenario == "both-move" else "mn")
        self._check_words()
        self._check_numbers()
        _ = self.nats  # raises

    def _check_words(self) -> None:
        for value, known, what in (
            (self.scenario, SCENARIOS, "scenario"),
            (self.mode, MODES, "mode"),
            (self.signalling, SIGNALLING, "signalling"),
            (self.break_, BREAKS, "way to break a link"),
            (self.family, (4, 6), "address family"),
            (self.caller, ("mn", "cn"), "caller"),
            (self.mn, PHONES, "phone"),
            (self.cn, PHONES, "phone"),
            (self.speech, SPEECH, "policy of speech"),
            (self.mover, MOVERS, "mover"),
        ):
            if value not in known:
                raise LocalError(f"no {what} {value!r}", f"choose among {', '.join(map(str, known))}")
        if self.scenario == "walk" and self.mover == "cn":
            raise LocalError("it is the mobile node that walks", "give --caller cn for the other role")
        if self.scenario == "both-move" and self.mover != "both":
            raise LocalError("in both-move both move", "choose two-subnets for one mover")
        if self.scenario == "nat-rebind" and (self.mover != "mn" or "mn" not in self.nats):
            raise LocalError("nat-rebind is about the mobile node's NAT", "give --nat mn:KIND, and no mover")

    def _check_numbers(self) -> None:
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
    def nats(self) -> dict[str, str]:
        """The kind of NAT at "mn" and "cn". Raises LocalError."""
        found: dict[str, str] = {}
        for word in filter(None, self.nat.split(",")):
            where, _, kind = word.partition(":")
            if where not in MOVERS or kind not in KINDS:
                raise LocalError(
                    f"--nat {word!r} is none", f"write mn, cn or both, a colon, and one of {', '.join(KINDS)}"
                )
            found |= dict.fromkeys(MOVERS[where], kind)
        return found

    @property
    def movers(self) -> tuple[str, ...]:
        """Hosts."""
        return MOVERS[self.mover]

    @property
    def soft(self) -> bool:
        return MODES[self.mode].soft

    def command(self) -> str:
        """The command that does this run again."""
        words = ["segue lab run", self.scenario]
        usual = RunOptions(scenario=self.scenario)
        with_nat = replace(usual, nat=self.nat, family=0)
        for name, value in asdict(self).items():
            if value != getattr(usual if name == "nat" else with_nat, name):
                flag = f"--{name.rstrip('_').replace('_', '-')}"
                words.append(flag if value is True else f"{flag} {value}")
        return " ".join(words)

    def as_json(self) -> dict[str, Any]:
        return {name.rstrip("_"): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> RunOptions:
        """What `as_json` made, also by an earlier version."""
        return cls(**{"break_" if name == "break" else name: value for name, value in given.items()})
