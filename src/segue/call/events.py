"""What happens to calls and registrations, as the user sees it. Each is one line of `segue call --events`."""

from __future__ import annotations

from dataclasses import dataclass

from segue.base.keying import Verification


@dataclass(frozen=True)
class Registered:
    """The registrar knows us on this network until `expires` seconds from now."""

    aor: str
    interface: str
    expires: int
    gruu: str = ""


@dataclass(frozen=True)
class RegistrationFailed:
    """Not registered on this network; `retry_in` seconds until the next try, None when a person must act."""

    aor: str
    interface: str
    problem: str
    status: int | None = None
    retry_in: float | None = None


@dataclass(frozen=True)
class IncomingCall:
    """Somebody calls; the phone rings. Answer or refuse by `call_id`."""

    call_id: str
    caller: str
    verification: Verification


@dataclass(frozen=True)
class Dialling:
    call_id: str
    callee: str


@dataclass(frozen=True)
class Ringing:
    """The other phone rings."""

    call_id: str


@dataclass(frozen=True)
class EarlyMedia:
    """Sound before the answer (announcements, the network's own ringing tone)."""

    call_id: str


@dataclass(frozen=True)
class Up:
    """The call is answered and speech can flow both ways."""

    call_id: str
    peer: str
    codec: str
    suite: str  # empty: in the clear
    verification: Verification


@dataclass(frozen=True)
class ProtectionChanged:
    """A call that is up has other keys' suite, or who it is with is known better or worse than before."""

    call_id: str
    suite: str
    verification: Verification


@dataclass(frozen=True)
class HoldChanged:
    """Who holds the call now: "" (nobody), "us", "peer" or "both"."""

    call_id: str
    held_by: str


@dataclass(frozen=True)
class HoldRefused:
    """The peer did not agree to be held, and hears us again."""

    call_id: str
    status: int
    reason: str = ""


@dataclass(frozen=True)
class MoveExpected:
    """The call is about to leave `origin` for `target` by choice, in a pause or soon; `reason` says why."""

    call_id: str
    origin: str
    target: str
    reason: str


@dataclass(frozen=True)
class MoveBegun:
    """The call leaves `origin` for `target`; hard: the old network is gone."""

    call_id: str
    kind: str
    origin: str
    target: str


@dataclass(frozen=True)
class MoveEnded:
    """The peer has agreed to the new address (`ok`), or the call stays where it was."""

    call_id: str
    ok: bool
    target: str
    took: float  # seconds since MoveBegun
    problem: str = ""


@dataclass(frozen=True)
class PeerMoved:
    """The peer's media comes from a new address, as its signalling said."""

    call_id: str
    address: str


@dataclass(frozen=True)
class Digit:
    """A key the peer pressed (RFC 4733)."""

    call_id: str
    digit: str


@dataclass(frozen=True)
class Ended:
    """The call is over. `by`: "us", "peer" or "network"; `reason` is fit for a person."""

    call_id: str
    by: str
    reason: str
    status: int = 0


CallEvent = (
    Registered
    | RegistrationFailed
    | IncomingCall
    | Dialling
    | Ringing
    | EarlyMedia
    | Up
    | ProtectionChanged
    | HoldChanged
    | HoldRefused
    | MoveExpected
    | MoveBegun
    | MoveEnded
    | PeerMoved
    | Digit
    | Ended
)
