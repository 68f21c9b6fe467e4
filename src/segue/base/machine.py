"""The five verbs that every core obeys.

The drain rule, stated once: after each call of `receive`, `expire` or any command of a machine, its owner
takes `transmits()` and `events()` until both are empty and asks `deadline()` anew. `net.driver` obeys it for
machines that stand alone; a composer (`call`) obeys it for the machines inside it. Nothing a machine returns
is lost when it is fetched late, but a timer may be.

Time is a float in seconds on a monotonic scale whose zero means nothing; all calls of one machine use the
same scale and never go backwards.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Input_contra = TypeVar("Input_contra", contravariant=True)
Source_contra = TypeVar("Source_contra", contravariant=True)
Output = TypeVar("Output")
Event = TypeVar("Event")


class Machine(Protocol[Input_contra, Source_contra, Output, Event]):
    """A protocol core without clock, dice, loop or socket."""

    def receive(self, data: Input_contra, source: Source_contra, now: float) -> None:
        """Take one datagram or message that came from `source`. Raises nothing for what a peer may send."""

    def transmits(self) -> list[Output]:
        """What is to be sent, oldest first; each is returned once."""

    def deadline(self) -> float | None:
        """When `expire` is wanted next, or None."""

    def expire(self, now: float) -> None:
        """Act on every timer that is due at `now`; harmless when none is."""

    def events(self) -> list[Event]:
        """What happened, oldest first; each is returned once."""


def earliest(*deadlines: float | None) -> float | None:
    """The soonest of several deadlines; None when there is none."""
    return min((d for d in deadlines if d is not None), default=None)
