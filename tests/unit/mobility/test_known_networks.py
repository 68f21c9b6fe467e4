"""What is kept of networks, and how much of it."""

from __future__ import annotations

import pytest

from segue.mobility.known_networks import KnownNetwork, KnownNetworks


@pytest.mark.parametrize("count", [1, 40, 200])
def test_memory_is_bounded_and_the_oldest_is_forgotten(count: int) -> None:
    known = KnownNetworks()
    for number in range(count):
        known.visit(KnownNetwork(f"n{number}"))
        known.visit(known.named("n0") or KnownNetwork("n0"))
    assert len(known._networks) <= 32
    assert known.named("n0") is not None, "visited again and again"
    assert known.named("") is None
