"""Which of several final responses goes back (RFC 3261 section 16.7 items 6 and 7)."""

from __future__ import annotations

from segue.protocols.sip.message import Response

_TELLING = (401, 407, 415, 420, 484)  # they say how a new try could succeed
_CHALLENGES = ("WWW-Authenticate", "Proxy-Authenticate")


def best_response(responses: list[Response]) -> Response | None:
    """A copy of the one to forward; None when there is none. Challenges of all branches are put together; a 503
    becomes a 500, since it is not we who are overloaded, and a 430 a 480, since its flow is not the caller's."""
    if not responses:
        return None
    best = min(responses, key=_rank).copy()
    if best.status in (401, 407):
        for name in _CHALLENGES:
            values = [v for r in responses if r.status in (401, 407) for v in r.headers.get_all(name)]
            best.headers.remove(name)
            for value in values:
                best.headers.add(name, value)
    elif best.status == 503:
        best.status, best.reason = 500, "Server Internal Error"
        best.headers.remove("Retry-After")
    elif best.status == 430:
        best.status, best.reason = 480, "Temporarily Unavailable"
    return best


def _rank(response: Response) -> tuple[int, int, int]:
    status = response.status
    group = 0 if status >= 600 else status // 100
    # Silence and a lost flow tell the caller less than any answer does.
    weight = 0 if status in _TELLING else 2 if status in (408, 430, 480, 482, 503) else 1
    return (group, weight, status)
