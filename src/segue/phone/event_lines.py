"""Events as JSON objects: as `segue call --events` prints them and `Phone` gets them."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from segue.call.events import CallEvent


def describe(event: CallEvent, wall: float) -> dict[str, Any]:
    """`{"event": "move_begun", "time": unix seconds, …}`; dataclasses become objects, enums text."""
    return {"event": _snake(type(event).__name__), "time": round(wall, 6), **_plain(event)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    return value


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
