"""The lab's links by name, in two presets.

`clean` has neither jitter nor loss, so that what a move costs can be told from what a link costs. `street`
is what a phone meets outside: a WLAN that is shared, a cell with a queue, and a radio that fades at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from segue.base.errors import LocalError
from segue.emulator.burst_loss import BurstLoss
from segue.emulator.link_model import LinkConfig
from segue.emulator.radio import RadioConfig


@dataclass(frozen=True)
class Preset:
    """Links by name, and the radio of the WLANs."""

    name: str
    links: dict[str, LinkConfig]
    radio: RadioConfig

    def link(self, name: str, called: str = "") -> LinkConfig:
        """The link of that kind (wlan, 3g, core), renamed when `called` is given."""
        return replace(self.links[name], name=called or name)


PRESETS = {
    "clean": Preset(
        "clean",
        {
            "wlan": LinkConfig("wlan", one_way_delay_ms=5),
            "3g": LinkConfig("3g", one_way_delay_ms=40),
            "core": LinkConfig("core", one_way_delay_ms=10),
        },
        RadioConfig(),
    ),
    "street": Preset(
        "street",
        {
            "wlan": LinkConfig(
                "wlan",
                one_way_delay_ms=5,
                jitter_ms=12,
                loss=BurstLoss(0.005, 2.5),
                rate_kbps=20_000,
                duplication=0.0005,
                fades=True,
            ),
            "3g": LinkConfig(
                "3g",
                one_way_delay_ms=40,
                jitter_ms=25,
                loss=BurstLoss(0.01, 3),
                rate_kbps=2_000,
                queue_bytes=48_000,
            ),
            "core": LinkConfig("core", one_way_delay_ms=10, jitter_ms=1, reorder=0.0005, reorder_ms=3),
        },
        RadioConfig(shadowing_db=3.0),
    ),
}


def preset(name: str) -> Preset:
    """Raises LocalError for a name that is none."""
    if name not in PRESETS:
        raise LocalError(f"no links are called {name!r}", f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
