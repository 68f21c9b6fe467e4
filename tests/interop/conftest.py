"""What the interop tests need from the machine they run on."""

from __future__ import annotations

import pytest

from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.peers.program import available


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`@pytest.mark.peers("baresip")`: not run, with the reason, where there is no such program."""
    for item in items:
        for mark in item.iter_markers("peers"):
            missing = [program for program in mark.args if not available(program)]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"there is no {', '.join(missing)} here"))
        if "interop" in item.nodeid and not can_make_namespaces():
            item.add_marker(pytest.mark.skip(reason="needs root or a user namespace for the lab"))
