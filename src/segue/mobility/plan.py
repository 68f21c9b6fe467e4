"""What a move does to a call, as steps in order. Deciding was elsewhere; `phone.moves` executes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    RECEIVE_ON_NEW = "listen for media on the new attachment, and on the old one still"
    PROVE_NEW = "our media leaves from the new attachment as soon as that way is proven"
    SEND_FROM_NEW = "our media leaves from the new attachment"
    TELL_PEER = "the peer hears of the new address: by a re-INVITE, an INVITE placed anew, or with our answer"


@dataclass(frozen=True)
class Plan:
    """`at_once`: nothing is waited for. `when_connected`: when signalling has a way over the new network.

    What follows is the call's own and hangs on what the peer says: once it has agreed, media leaves from the new
    attachment (`call.call`), and the old one is let go when media flows on the new one (`call.path`). Until it has
    agreed, a soft move can be taken back (design decision 6).
    """

    at_once: tuple[Step, ...] = ()
    when_connected: tuple[Step, ...] = ()
