"""What a move does, as steps in order. Deciding was elsewhere; `phone` executes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    RECEIVE_ON_NEW = "listen for media on the new attachment"
    SEND_FROM_NEW = "our media leaves from the new attachment"
    TELL_PEER = "offer the new address to the peer"
    PLACE_ANEW = "the call that nobody has answered yet is placed again and the first one cancelled"
    REGISTER = "register from the new attachment"
    RELEASE_OLD = "let the old attachment go"


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are to be begun.

    `at_once`: nothing is waited for between them. `when_answered`: when the peer has agreed to the new
    address. `when_media_flows`: when authenticated media arrives on the new path. A plan that fails before
    `when_answered` leaves the call on its old path (design decision 6).
    """

    at_once: tuple[Step, ...]
    when_answered: tuple[Step, ...] = ()
    when_media_flows: tuple[Step, ...] = ()
