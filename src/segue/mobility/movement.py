"""The picture now against where we are: what has happened to the attachment in use."""

from __future__ import annotations

from dataclasses import dataclass

from segue.mobility.observation import Attachment, Observation


@dataclass(frozen=True)
class Lost:
    """The attachment in use carries nothing any more; `others` may."""

    others: tuple[Attachment, ...]


@dataclass(frozen=True)
class Weak:
    """The attachment in use still carries, but its radio is about to fail; `others` could take over."""

    signal_dbm: float
    others: tuple[Attachment, ...]


@dataclass(frozen=True)
class Unanswered:
    """The attachment in use looks well, but nothing comes over it and nobody answers; `others` could take over."""

    others: tuple[Attachment, ...]


@dataclass(frozen=True)
class Better:
    """`candidate` is preferred to the attachment in use, which is still good."""

    candidate: Attachment


@dataclass(frozen=True)
class Steady:
    """Nothing to do."""


Movement = Lost | Weak | Unanswered | Better | Steady


@dataclass(frozen=True)
class Thresholds:
    """Radio levels in dBm. A network is left below `leave` and taken above `join`; the space between is the
    hysteresis that keeps a call from flapping at the edge. Below `warm` the networks that could take over are made
    ready; at `end` a radio may fail at any moment."""

    leave: float = -75.0
    join: float = -70.0
    warm: float = -70.0
    end: float = -80.0


def compare(
    observation: Observation,
    active: Attachment | None,
    thresholds: Thresholds = Thresholds(),
    *,
    unanswered: bool = False,
) -> Movement:
    """What the picture means for a call that runs over `active`, where `unanswered` checks say that nobody is
    reached."""
    usable = observation.usable()
    if active is None or not observation.holds(active):
        return Lost(tuple(sorted(usable, key=lambda a: _hard_preference(observation, a, active, thresholds))))
    elsewhere = [a for a in usable if a.interface != active.interface]
    welcoming = tuple(a for a in elsewhere if _welcomes(observation, a, thresholds))
    if unanswered and elsewhere:
        ordered = sorted(elsewhere, key=lambda a: _hard_preference(observation, a, active, thresholds))
        return Unanswered(tuple(ordered))
    signal = observation.signal(active.interface)
    if signal is not None and signal < thresholds.leave and welcoming:
        return Weak(signal, _same_family_first(welcoming, active))
    preferred = [a for a in welcoming if a.metric < active.metric]
    if preferred:
        return Better(_same_family_first(tuple(preferred), active)[0])
    return Steady()


def _welcomes(observation: Observation, attachment: Attachment, thresholds: Thresholds) -> bool:
    """Whether its radio is good enough to go there by choice; wires and silent drivers are."""
    signal = observation.signal(attachment.interface)
    return signal is None or signal >= thresholds.join


def _hard_preference(
    observation: Observation, attachment: Attachment, active: Attachment | None, thresholds: Thresholds
) -> tuple[bool, bool, int, int]:
    """After a loss anything will do, but a radio that is failing comes last, and the family in use first."""
    return (
        not _welcomes(observation, attachment, thresholds),
        active is not None and attachment.family != active.family,
        attachment.metric,
        -attachment.family,
    )


def _same_family_first(attachments: tuple[Attachment, ...], active: Attachment) -> tuple[Attachment, ...]:
    return tuple(sorted(attachments, key=lambda a: (a.family != active.family, a.metric)))
