"""The life of an INVITE session as a table."""

from __future__ import annotations

from enum import Enum


class SessionState(Enum):
    CALLING = "our INVITE has no final response"
    INCOMING = "the peer's INVITE has no final response from us"
    ACCEPTED = "2xx sent or received, its ACK not yet"
    UP = "established"
    ENDED = "over; what was sent may still be completed"


class Turn(Enum):
    ACCEPT = "2xx"
    ACK = "ACK"
    END = "refused, cancelled, redirected, BYE, lost"


SESSION: dict[SessionState, dict[Turn, SessionState]] = {
    SessionState.CALLING: {Turn.ACCEPT: SessionState.ACCEPTED, Turn.END: SessionState.ENDED},
    SessionState.INCOMING: {Turn.ACCEPT: SessionState.ACCEPTED, Turn.END: SessionState.ENDED},
    SessionState.ACCEPTED: {Turn.ACK: SessionState.UP, Turn.END: SessionState.ENDED},
    SessionState.UP: {Turn.END: SessionState.ENDED},
    SessionState.ENDED: {},
}
