"""A scenario under attack from its first packet to its last, and the verdict on it."""

from __future__ import annotations

import json
from pathlib import Path

from segue.lab.attacks.attack import LOG, start_attacks
from segue.lab.attacks.controls import run_controls
from segue.lab.attacks.eavesdropper import as_attack, eavesdrop
from segue.lab.attacks.verdict import RATE, AttackResult, as_json, judge
from segue.lab.attacks.wiretap import BEGINNING
from segue.lab.measure.spoken import human_speech
from segue.lab.modes import MODES
from segue.lab.networks.network import Network
from segue.lab.options import CODED, RunOptions
from segue.lab.phones import Office
from segue.lab.scenario import Progress, Scenario

AT_THE_END = 2.0  # seconds before the call's end without attacks, so that what they did shows
MORE = 1.06  # packets sent for each that is wanted: some meet a link that is down, or come too early for a replay
RESULTS = "attacks.json"


class AttackedScenario(Scenario):
    """The same with `options.attacked` packets forged or replayed while the call lasts."""

    def _call(self, network: Network, office: Office, resolvers: dict[str, str]) -> None:
        attacks = start_attacks(
            network,
            self.folder,
            seconds=max(1.0, self.plan.duration - AT_THE_END),
            total=round(self.options.attacked * MORE),
            checks=MODES[self.options.mode].ice,
            seed=self.options.seed,
            beginning=min(BEGINNING, self.options.attacks) if self.options.talk == CODED else 0,
            relays=self.options.relayed and MODES[self.options.mode].ice,
        )
        try:
            super()._call(network, office, resolvers)
        finally:
            attacks.stop()


def conclude(folder: Path, options: RunOptions, progress: Progress) -> None:
    """After a run in `folder`: listen to it, judge what was tried on it, run the controls in `folder`/controls, and
    write all of it to `folder`/attacks.json. A call in the clear is only listened to. Nothing for a run without
    attacks."""
    if not options.attacks:
        return
    progress("judging what was tried", 0, 1)
    results = [] if not options.attacked else judge(folder, speech=human_speech(options.talk, RATE))
    results.append(_overhear(folder, options))
    controls = run_controls(folder / "controls", options, progress=progress) if options.attacked else []
    (folder / RESULTS).write_text(json.dumps(as_json(results, controls), indent=1))


def _overhear(folder: Path, options: RunOptions) -> AttackResult:
    """What somebody on every link got of the speech, and of the passwords and keys."""
    log = folder / LOG
    passwords = {
        f"password of {file.stem}": file.read_bytes().strip()
        for file in (folder / "office").glob("*.password")
    }
    heard = eavesdrop(
        folder / "captures",
        folder / "overheard",
        talkers=(options.talk,),
        secrets=passwords,
        injected=log if log.exists() else None,
    )
    return as_attack(heard)
