"""What the proxy does for session timers (RFC 4028 section 8). It keeps nothing of a call and has no use for one
itself: what passes asks for an interval if the policy says so, and for none that is too short.
"""

from __future__ import annotations

from typing import NamedTuple

from segue.protocols.sip.message import Request, Response
from segue.protocols.sip.session_timer import OPTION, interval_of, least_of
from segue.server.config import Policy

REFRESHING = frozenset({"INVITE", "UPDATE"})


class Asked(NamedTuple):
    """What a request asks for as it goes on, in seconds, and whether its sender knows timers."""

    interval: int
    supported: bool


def ask(request: Request, policy: Policy) -> Asked | int | None:
    """Put into an INVITE or UPDATE what we ask for (section 8.1). The Min-SE of a 422 instead when it asks for less
    than we allow; None when it asks for nothing. Raises RemoteError(400)."""
    if request.method not in REFRESHING:
        return None
    headers, given = request.headers, interval_of(request)
    supported, least = OPTION in request.supported, least_of(request)
    if given is None:
        if not policy.session_interval:
            return None
        interval = max(policy.session_interval, least)
        headers.set("Session-Expires", str(interval))
        return Asked(interval, supported)
    if given[0] >= policy.min_session_interval:
        return Asked(given[0], supported)
    if supported:
        return policy.min_session_interval
    least = max(least, policy.min_session_interval)
    headers.set("Min-SE", str(least))
    headers.set("Session-Expires", str(least))
    return Asked(least, supported)


def complete(response: Response, asked: Asked | None) -> None:
    """A 2xx of a callee that does not know timers tells a caller that does to refresh (section 8.2)."""
    if asked is None or not asked.supported or not 200 <= response.status < 300:
        return
    if response.cseq.method in REFRESHING and "Session-Expires" not in response.headers:
        response.headers.set("Session-Expires", f"{asked.interval};refresher=uac")
        tags = [*response.headers.words("Require"), OPTION]
        response.headers.set("Require", ", ".join(dict.fromkeys(tags)))
