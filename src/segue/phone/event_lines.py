"""Events as JSON objects: as `segue call --events` prints them and `Phone` gets them."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args

from segue.base.keying import Assurance, Verification
from segue.call.events import CallEvent
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response


def describe(event: CallEvent, wall: float) -> dict[str, Any]:
    """`{"event": "move_begun", "time": unix seconds, …}`; dataclasses become objects, enums text."""
    return {"event": _snake(type(event).__name__), "time": round(wall, 6), **_plain(event)}


def read_event(line: dict[str, Any]) -> CallEvent | None:
    """The event that `describe` wrote; None for a line that is about something else."""
    kind = _KINDS.get(line.get("event", ""))
    if kind is None:
        return None
    given = {field.name: line[field.name] for field in fields(kind) if field.name in line}
    if "verification" in given:
        given["verification"] = read_verification(given["verification"])
    event: CallEvent = kind(**given)
    return event


def read_verification(facts: dict[str, Any]) -> Verification:
    return Verification(**{**facts, "assurance": Assurance(facts["assurance"])})


def describe_message(direction: str, flow: Flow, message: Request | Response, wall: float) -> dict[str, Any]:
    """`{"event": "sip_sent", …}` or "sip_received": what a sequence diagram needs, and nothing secret."""
    said = {
        "event": f"sip_{direction}",
        "time": round(wall, 6),
        "line": message.start_line(),
        "call_id": message.headers.get("Call-ID") or "",
        "cseq": message.headers.get("CSeq") or "",
        "transport": flow.transport,
        "interface": flow.interface,
        "local": str(flow.local),
        "remote": str(flow.remote),
        "body": bool(message.body),
    }
    reason = message.headers.get("Reason")
    return said | {"reason": reason} if reason else said


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    return value


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_KINDS: dict[str, Any] = {_snake(kind.__name__): kind for kind in get_args(CallEvent)}
