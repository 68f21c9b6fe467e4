"""An INVITE session that is refreshed before it expires, or ended when it was not (RFC 4028 section 10)."""

from __future__ import annotations

from segue.protocols.sip.invite_session_dispatch import DispatchSide
from segue.protocols.sip.invite_session_reoffer import Reoffer
from segue.protocols.sip.session_events import By, Ended
from segue.protocols.sip.session_states import SessionState

EXPIRED = 'SIP;cause=408;text="Session timer expired"'


class RefreshSide(DispatchSide):
    def _refresh(self, now: float) -> None:
        """By UPDATE without offer when the peer takes that, else by a re-INVITE that changes nothing. A change that
        is under way or waits, such as that of a move, refreshes as well."""
        leg = self.leg
        free = self._reoffer is None and self._next_reoffer is None
        if leg is not None and free and self.state in (SessionState.UP, SessionState.ACCEPTED):
            by_update = "UPDATE" in leg.allow
            self._want(Reoffer("UPDATE" if by_update else "INVITE", offers=not by_update), now)
        self.timer.again(now)
        self.follow_timer()

    def _expire_session(self, now: float) -> None:
        """Nobody has refreshed it in time: for its proxies it is over."""
        leg = self.leg
        if leg is None or self.state is SessionState.ENDED:
            return
        self._refuse_servers(now)
        self.say_bye(leg, now, EXPIRED)
        self.end(Ended(By.NETWORK, 408, EXPIRED), now)
