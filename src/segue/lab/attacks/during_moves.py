"""What the attacker does whenever an end moves, besides his plan: he relays its checks and replays the call's
beginning.

- A check of an end that moves is copied and sent from his own address, octet for octet: once ahead of the genuine
  one, which has the way through the core before it where he sees it leave, and once behind it.
- When media to a phone comes by a new path, the first packets of the call come again to that phone, on the new path
  and from his own address in turn. Pure.
"""

from __future__ import annotations

from typing import Any

from segue.lab.attacks.forgeries import ATTACKER, ATTACKER_PORT, RELAYING_PORT, Udp
from segue.lab.attacks.wiretap import Check, Seen, Target, Wiretap

RELAYED_CHECK, REPLAYED_BEGINNING = "relayed_check", "replayed_beginning"
RUN, BETWEEN = (
    10,
    0.040,
)  # packets at once, so that whole blocks are in them, and seconds to the next: no flood
OLD_ENOUGH = 4.0  # seconds of age, so that a recording tells what came again from what a phone conceals

Piece = tuple[str, str, Seen, Udp, dict[str, Any]]
"""Kind, host attacked, the frame whose addresses it has, the datagram, facts for the log."""


class DuringMoves:
    """`beginning`: packets of the call's beginning, to each phone for each move. `relays`: whether checks are
    relayed."""

    def __init__(self, tap: Wiretap, beginning: int, relays: bool) -> None:
        self._tap = tap
        self._beginning = beginning
        self._relays = relays
        self._runs: dict[str, list[Seen]] = {}  # by host: what it still gets, newest first
        self._moves: dict[str, int] = {}
        self._next = 0.0

    def relayed(self) -> list[Piece]:
        """Copies of the checks seen since the last call, to be sent at once."""
        checks, self._tap.new_checks = self._tap.new_checks, []
        made = [piece for check in checks if (piece := self._copy(check)) is not None]
        return made if self._relays else []

    def _copy(self, check: Check) -> Piece | None:
        source = check.seen.datagram.source, check.seen.datagram.source_port
        sender = self._tap.targets[check.host]
        if check.to_host:
            target, how = sender, "behind"
            usual = target.media and (target.media.datagram.source, target.media.datagram.source_port)
        else:
            others = [each for each in self._tap.targets.values() if each is not sender]
            if not others or sender.media is None:
                return None
            target, how = others[0], "ahead"
            usual = sender.media.datagram.destination, sender.media.datagram.destination_port
        if target.media is None or source == usual:
            return None  # where it is anyway: that is no move
        way = from_him(target.media.datagram, RELAYING_PORT)
        datagram = way._replace(payload=check.seen.datagram.payload)
        return RELAYED_CHECK, target.host, target.media, datagram, {"how": how}

    # The call's beginning

    def media_came(self, target: Target, now: float) -> None:
        """By a new path: the beginning starts over, unless it is still under way."""
        if target.moves == self._moves.get(target.host, 0):
            return
        self._moves[target.host] = target.moves
        if not self._beginning or self._runs.get(target.host):
            return
        old = [seen for seen in target.beginning[: self._beginning] if now - seen.time >= OLD_ENOUGH]
        self._runs[target.host] = old[::-1]

    @property
    def under_way(self) -> bool:
        return any(self._runs.values())

    def deadline(self) -> float | None:
        return self._next if self.under_way else None

    def due(self, now: float) -> list[Piece]:
        made: list[Piece] = []
        if not self.under_way or now < self._next:
            return made
        self._next = now + BETWEEN
        for host, run in self._runs.items():
            media = self._tap.targets[host].media
            if media is None:
                continue
            way, how = media.datagram, "new path"
            if len(run) // RUN % 2:
                way, how = from_him(way, ATTACKER_PORT), "other source"
            for seen in reversed(run[-RUN:]):
                datagram = way._replace(payload=seen.datagram.payload)
                facts = {"how": how, "age": round(now - seen.time, 3)}
                made.append((REPLAYED_BEGINNING, host, media, datagram, facts))
            del run[-RUN:]
        return made


def from_him(datagram: Udp, port: int) -> Udp:
    """The same from the attacker's address."""
    return datagram._replace(source=ATTACKER[6 if ":" in datagram.destination else 4], source_port=port)
