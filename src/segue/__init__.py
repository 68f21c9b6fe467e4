"""Segue: voice calls that carry on to the next network without a pause, and without being less safe there.

`from segue import Phone` is the library (docs/library.md). Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segue.base.errors import LocalError, RemoteError, SegueError
    from segue.base.frame import Frame
    from segue.phone.call_handle import Call
    from segue.phone.config import PhoneConfig
    from segue.phone.phone import Phone

__version__ = "0.1.0"
__all__ = ["Call", "Frame", "LocalError", "Phone", "PhoneConfig", "RemoteError", "SegueError", "__version__"]

_PLACES = {
    "Call": "segue.phone.call_handle",
    "Frame": "segue.base.frame",
    "LocalError": "segue.base.errors",
    "Phone": "segue.phone.phone",
    "PhoneConfig": "segue.phone.config",
    "RemoteError": "segue.base.errors",
    "SegueError": "segue.base.errors",
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(place), name)
    globals()[name] = value
    return value
