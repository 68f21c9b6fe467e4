"""Consent freshness (RFC 7675): the selected path, and between ends that migrate a few proven ones beside it,
are asked every 4 to 6 s; 30 s without an answer end the permission to send. That keeps NAT bindings, too (RFC
8445 section 11)."""

from __future__ import annotations

from segue.base.entropy import fraction
from segue.base.machine import earliest
from segue.protocols.ice.known_path import KnownPath
from segue.protocols.ice.limits import CONSENT_CHECK, STANDBY
from segue.protocols.ice.state import State


class Consent:
    def __init__(self, state: State) -> None:
        self._state = state

    def answered(self, known: KnownPath, now: float) -> None:
        self._schedule(known, now)

    def deadline(self) -> float | None:
        paths = [known for known in self._state.paths if known.proven]
        return earliest(
            *(known.consent_until for known in paths),
            *(known.consent_check for known in paths),
        )

    def expire(self, now: float) -> list[KnownPath]:
        """Those whose consent has ended; who owns this takes it from them."""
        kept: set[KnownPath] | None = None
        for known in self._state.paths:
            if known.proven and known.consent_check is not None and now >= known.consent_check:
                kept = self._kept(now) if kept is None else kept
                if known in kept:
                    self._state.start_check(known, now, once=True)
                self._schedule(known, now)
        return [known for known in self._state.paths if known.proven and now >= known.consent_until]

    def _schedule(self, known: KnownPath, now: float) -> None:
        """Section 5.1: 0.8 to 1.2 times the period, so that ends do not fall into step."""
        known.consent_check = now + CONSENT_CHECK * (0.8 + 0.4 * fraction(self._state.entropy))

    def _kept(self, now: float) -> set[KnownPath]:
        """Selected paths; of the others one for each port of ours, and those that the peer keeps alive."""
        state = self._state
        selected = {each.current for each in state.selections.values() if each.current is not None}
        if not state.migration:
            return selected
        ports = {known.port for known in selected}
        standby: list[KnownPath] = []
        for known in sorted(state.paths, key=lambda each: -each.heard):
            if known.proven and (known.port not in ports or now - known.heard < 2 * CONSENT_CHECK):
                ports.add(known.port)
                standby.append(known)
        return selected | set(standby[:STANDBY])
