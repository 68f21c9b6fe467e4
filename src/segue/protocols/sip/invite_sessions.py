"""Finds the session that an event of the transaction layer is for, and calls that are to be replaced."""

from __future__ import annotations

from typing import NamedTuple

from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.protocols.sip.dialog import DialogState
from segue.protocols.sip.invite_session import InviteSession
from segue.protocols.sip.message import Request
from segue.protocols.sip.session_states import SessionState
from segue.protocols.sip.transaction_events import AckReceived, LayerEvent, RequestReceived, StrayResponse


class Replaces(NamedTuple):
    """A Replaces header field value (RFC 3891 section 6.1), tags as its receiver sees them."""

    call_id: str
    local_tag: str
    remote_tag: str
    early_only: bool


class InviteSessions:
    """The sessions of one phone, by Call-ID. `take` gives each event to its session; a session that has
    finished is forgotten at the next call of `expire` or `take`."""

    def __init__(self) -> None:
        self._by_call_id: dict[str, list[InviteSession]] = {}

    def add(self, session: InviteSession) -> None:
        self._by_call_id.setdefault(session.call_id, []).append(session)

    def all(self) -> list[InviteSession]:
        return [session for sessions in self._by_call_id.values() for session in sessions]

    def __len__(self) -> int:
        return sum(len(sessions) for sessions in self._by_call_id.values())

    def take(self, event: LayerEvent, now: float) -> InviteSession | None:
        """Give an event to its session, which is returned. None: it is no session's (a new INVITE, a request
        outside dialogs or of another usage, a transaction of somebody else) and untouched."""
        session = self.find(event)
        if session is not None:
            session.receive(event, now)
            if session.finished:
                self._forget(session)
        return session

    def find(self, event: LayerEvent) -> InviteSession | None:
        """Whose this event is."""
        if isinstance(event, StrayResponse):
            return None
        if isinstance(event, AckReceived | RequestReceived):
            return self._of_request(event.request)
        user = event.transaction.user
        return user if isinstance(user, InviteSession) else None

    def knows(self, request: Request) -> bool:
        """Whether this request is in a dialog of a session, or the INVITE of one."""
        return self._of_request(request) is not None

    def _of_request(self, request: Request) -> InviteSession | None:
        try:
            local_tag, remote_tag = request.to.tag or "", request.from_.tag or ""
        except RemoteError:
            return None
        for session in self._by_call_id.get(request.call_id, ()):
            if local_tag and session.expects(local_tag, remote_tag):
                return session
            if not local_tag and request.method == "INVITE" and session.knows_again(remote_tag):
                return session
        return None

    def replaced(self, replaces: Replaces) -> InviteSession:
        """The session that an INVITE with this Replaces asks to replace (RFC 3891 section 3).

        Raises RemoteError: 481 when there is none, 603 when it has ended, 486 when only an early dialog was to be
        replaced and it is not early any more."""
        for session in self._by_call_id.get(replaces.call_id, ()):
            if not session.has_dialog(replaces.local_tag, replaces.remote_tag):
                continue
            if session.state is SessionState.ENDED:
                raise RemoteError("the call to replace has ended", 603)
            early = session.leg is None or session.leg.dialog.state is DialogState.EARLY
            if early and session.state is SessionState.INCOMING:
                raise RemoteError("an early dialog that we did not initiate", 481)
            if replaces.early_only and not early:
                raise RemoteError("the call to replace is answered", 486)
            return session
        raise RemoteError("no call to replace", 481)

    def deadline(self) -> float | None:
        return earliest(*(session.deadline() for session in self.all()))

    def expire(self, now: float) -> None:
        for session in self.all():
            session.expire(now)
            if session.finished:
                self._forget(session)

    def _forget(self, session: InviteSession) -> None:
        sessions = self._by_call_id.get(session.call_id, [])
        if session in sessions:
            sessions.remove(session)
        if not sessions:
            self._by_call_id.pop(session.call_id, None)


def parse_replaces(value: str) -> Replaces:
    """Raises RemoteError(400)."""
    call_id, *params = [part.strip() for part in value.split(";")]
    known = dict(param.partition("=")[::2] for param in params)
    if not call_id or not known.get("to-tag") or not known.get("from-tag"):
        raise RemoteError("bad Replaces", 400)
    return Replaces(call_id, known["to-tag"], known["from-tag"], "early-only" in known)


def write_replaces(session: InviteSession, *, early_only: bool = False) -> str:
    """The Replaces value with which somebody else may replace this call at the peer; raises RemoteError(481)
    when there is no dialog."""
    leg = session.leg
    if leg is None:
        raise RemoteError("there is no dialog", 481)
    call_id, local_tag, remote_tag = leg.dialog.id
    suffix = ";early-only" if early_only else ""
    return f"{call_id};to-tag={remote_tag};from-tag={local_tag}{suffix}"
