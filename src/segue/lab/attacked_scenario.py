"""A scenario under attack from its first packet to its last, and the verdict on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.devices.open import SPEECH
from segue.lab.attack_controls import run_controls
from segue.lab.attack_verdict import as_json, judge
from segue.lab.attacks import LOG, start_attacks
from segue.lab.eavesdropper import CODED, as_attack, eavesdrop
from segue.lab.network import Network
from segue.lab.options import RunOptions
from segue.lab.phones import Office
from segue.lab.scenario import Scenario

AT_THE_END = 2.0  # seconds before the call's end without attacks, so that what they did shows
RESULTS = "attacks.json"
SPEECH_FILE = Path(__file__).parents[1] / "devices" / "speech" / SPEECH


class AttackedScenario(Scenario):
    """The same with `options.attacks` packets forged or replayed while the call lasts."""

    def _call(self, network: Network, office: Office, resolvers: str) -> None:
        options = self.options
        attacks = start_attacks(
            network,
            self.folder,
            seconds=max(1.0, self.plan.duration - AT_THE_END),
            total=options.attacks,
            secure=options.agreed_keying != "none",
            sip_over_udp=options.signalling == "udp",
            seed=options.seed,
        )
        try:
            super()._call(network, office, resolvers)
        finally:
            attacks.stop()


def conclude(
    folder: Path, options: RunOptions, secrets: Mapping[str, bytes] | None = None
) -> list[dict[str, Any]]:
    """After an attacked run in `folder`: judge it, listen to it, run the controls in `folder`/controls, and write all
    of it to `folder`/attacks.json. `secrets`: what must not be on any wire, by name."""
    coded = options.speech == CODED
    results = judge(folder, coded=coded)
    talkers: tuple[Path | str, ...] = (CODED,) if coded else _talkers(options)
    heard = eavesdrop(
        folder / "captures", folder / "overheard", talkers=talkers, secrets=secrets, injected=folder / LOG
    )
    listed = as_json([*results, as_attack(heard)], run_controls(folder / "controls", options))
    (folder / RESULTS).write_text(json.dumps(listed, indent=1))
    return listed


def _talkers(options: RunOptions) -> tuple[Path | str, ...]:
    return (SPEECH_FILE if options.speech == "speech" else Path(options.speech),)
