"""The session timer of one INVITE session (RFC 4028): how long it lasts without a refresh, and who refreshes it.

Told of each INVITE and UPDATE of the dialog, and of each 2xx to one, it says when to refresh and when the session is
over. It sends nothing itself.
"""

from __future__ import annotations

from segue.base.errors import RemoteError
from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.syntax import number, parse_parameters

OPTION = "timer"
LEAST = 90  # seconds: no interval may be shorter (sections 4 and 5)
LONGEST = 1 << 32
TOO_SMALL = 5  # how many 422 one request may get


def interval_of(message: Request | Response) -> tuple[int, str] | None:
    """Seconds and refresher ("uac", "uas", or "" for none) of a Session-Expires; None when there is none. Raises
    RemoteError(400)."""
    value = message.headers.get("Session-Expires")
    if value is None:
        return None
    seconds, _, rest = value.partition(";")
    refresher = (parse_parameters(rest).get("refresher") or "").lower()
    return number(seconds.strip(), LONGEST, "Session-Expires"), refresher if refresher in (
        "uac",
        "uas",
    ) else ""


def least_of(message: Request | Response) -> int:
    """Seconds of a Min-SE, 90 when there is none or less. Raises RemoteError(400)."""
    value = message.headers.get("Min-SE")
    return (
        max(LEAST, number(value.partition(";")[0].strip(), LONGEST, "Min-SE")) if value is not None else LEAST
    )


class SessionTimer:
    """`wanted`: seconds that we ask for, 0 for no timer of our own wish; `known`: we know timers at all. `interval`
    None: the session does not expire.

    With a peer that does not know timers we refresh for ourselves (`alone`): that finds out when it is gone, and
    nothing expires.
    """

    def __init__(self, wanted: int, known: bool) -> None:
        self._wanted = wanted if known else 0
        self._known = known  # we know timers
        self._least = LEAST  # the largest Min-SE heard (section 7.4)
        self._refused = 0  # requests of ours that got 422, since the last 2xx
        self.interval: int | None = None
        self.refreshes = False  # we do
        self.alone = False
        self.refresh_at: float | None = None
        self.expires_at: float | None = None  # when we say BYE, unless there is a refresh before

    # What we ask for

    def ask(self, request: Request) -> None:
        """Write the fields of an INVITE or UPDATE of ours (sections 7.1 and 7.4)."""
        headers = request.headers
        headers.remove("Session-Expires")
        headers.remove("Min-SE")
        interval = max(self.interval or self._wanted, self._least)
        if not self._known or not (self.interval or self._wanted):
            return
        known = self.interval is not None and not self.alone
        refresher = f";refresher={'uac' if self.refreshes else 'uas'}" if known else ""
        headers.set("Session-Expires", f"{interval}{refresher}")
        if self._least > LEAST:
            headers.set("Min-SE", str(self._least))

    def take_refusal(self, response: Response) -> bool:
        """A refusal of a request of ours: whether it is a 422 after which the request may be sent again, with what
        `ask` writes now (section 7.3)."""
        if response.status != 422 or not self._known or self._refused >= TOO_SMALL:
            return False
        try:
            least = least_of(response)
        except RemoteError:
            return False
        if least <= self._least and self._refused:
            return False
        self._refused += 1
        self._least = max(self._least, least)
        return True

    def take_answer(self, request: Request, response: Response, now: float) -> None:
        """A 2xx to an INVITE or UPDATE of ours (section 7.2)."""
        self._refused = 0
        if not self._known:
            return
        try:
            granted = interval_of(response)
        except RemoteError:
            granted = None
        asked = interval_of(request)
        if granted is not None:
            self._start(granted[0], granted[1] != "uas", False, now)
        elif asked is not None and OPTION not in response.require:
            self._start(asked[0], True, True, now)
        else:
            self._stop()

    # What the peer asks for

    def objection(self, request: Request) -> int | None:
        """The Min-SE of the 422 that a request gets whose interval is too short (section 9). One of a peer that does
        not know timers, where a proxy has added it, cannot be refused. Raises RemoteError(400) for malformed
        fields."""
        if not self._known:
            return None
        asked, _ = interval_of(request), least_of(request)
        if asked is None or OPTION not in request.supported:
            return None
        return LEAST if asked[0] < LEAST else None

    def answer(self, request: Request, response: Response, updates: bool, now: float) -> None:
        """Write the fields of our 2xx to an INVITE or UPDATE of the peer's, which begins the interval anew
        (section 9). Who refreshes stays so; at first it is us, if the peer `updates`: a refresh of ours is then an
        UPDATE without offer, while a re-INVITE of who has answered offers more than it has said before."""
        if not self._known:
            return
        asked, supported, least = interval_of(request), OPTION in request.supported, least_of(request)
        self._least = max(self._least, least)
        if asked is not None and asked[0] >= LEAST:
            interval, refresher = asked
        elif asked is None and supported and (self.interval or self._wanted):
            interval, refresher = max(self.interval or self._wanted, least), ""
        elif self.alone and self.interval is not None:
            self._start(self.interval, True, True, now)
            return
        else:
            self._stop()
            return
        if not supported:
            refresher = "uas"
        elif not refresher:
            ours = updates if self.interval is None else self.refreshes
            refresher = "uas" if ours else "uac"
        response.headers.set("Session-Expires", f"{interval};refresher={refresher}")
        if supported:
            tags = [*response.headers.words("Require"), OPTION]
            response.headers.set("Require", ", ".join(dict.fromkeys(tags)))
        self._start(interval, refresher == "uas", False, now)

    # Time

    def _start(self, interval: int, refreshes: bool, alone: bool, now: float) -> None:
        interval = max(interval, LEAST)
        self.interval, self.refreshes, self.alone = interval, refreshes, alone
        self.refresh_at = now + interval / 2 if refreshes else None
        if alone:
            self.expires_at = None
        elif refreshes:
            self.expires_at = now + interval
        else:
            self.expires_at = now + interval - min(32.0, interval / 3)  # section 10

    def _stop(self) -> None:
        self.interval = self.refresh_at = self.expires_at = None
        self.refreshes = self.alone = False

    def again(self, now: float) -> None:
        """A refresh goes out: when the next one does, if this one comes to nothing."""
        left = self.interval or LEAST if self.expires_at is None else self.expires_at - now
        self.refresh_at = now + max(left / 2, 10.0) if self.refreshes else None
