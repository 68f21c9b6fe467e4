"""What did not work, as the one line that a person reads: problem, then remedy."""

from __future__ import annotations

from typing import Any

from segue.base.errors import LocalError, RemoteError, SegueError
from segue.call.events import Ended

_REMEDIES = {
    401: "check user and password",
    403: "ask whoever runs the server",
    404: "check the address",
    407: "check user and password",
    408: "try again later",
    480: "try again later",
    486: "try again later",
    488: "allow a codec and an encryption that the other end has",
    503: "check registrar and transport, and that the server runs",
    600: "try again later",
}


def why_ended(event: Ended) -> SegueError:
    """Why a call did not come up, or is over: LocalError when something here is to be changed."""
    if event.by == "us" and not event.status:
        return LocalError(event.reason or "the call was hung up here")
    return RemoteError(_with_remedy(event.reason or "the call is over", event.status), event.status or None)


def why_not_registered(line: dict[str, Any]) -> SegueError:
    """From a `registration_failed` line."""
    status, problem, remedy = line.get("status"), str(line["problem"]), str(line.get("remedy", ""))
    if line.get("local"):
        return LocalError(problem, remedy)
    if status in (401, 407):
        problem = "the password is wrong, or the user unknown"
    return RemoteError(_with_remedy(problem, status or 503), status or 503)


def _with_remedy(problem: str, status: int) -> str:
    remedy = _REMEDIES.get(status, "")
    return f"{problem}: {remedy}" if remedy else problem
