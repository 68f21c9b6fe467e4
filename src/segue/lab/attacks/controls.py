"""The same attacks where the defence is off, so that a zero means something: each must succeed here.

- in the clear (`--keying none`, SIP over UDP) the phones are as they are: forged media, re-INVITE, BYE, listening;
- a phone without replay list (`weak_phone`): replays;
- a phone that does not look at SRTP's tags: forged media again;
- a phone that obeys RTCP, in the clear: RTCP BYE;
- a phone that rings, over UDP: CANCEL;
- a phone that believes every connectivity check: forged and replayed ones (where the walk's phones check paths),
  and when the other end moves, relayed ones;
- a phone without replay list whose peer moves: the call's beginning (of the coded signal).
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.attacks.attack import LOG, start_attacks
from segue.lab.attacks.attacker import (
    BYE,
    CANCEL,
    FORGED_CHECK,
    FORGED_MEDIA,
    REINVITE,
    REPLAYED_CHECK,
    REPLAYED_MEDIA,
    RTCP_BYE,
    Phase,
)
from segue.lab.attacks.eavesdropper import as_attack, eavesdrop
from segue.lab.attacks.verdict import RATE, AttackResult, judge
from segue.lab.measure.spoken import human_speech
from segue.lab.modes import MODES
from segue.lab.networks.links import python_command
from segue.lab.networks.network import Network, wait_for
from segue.lab.networks.topology import DOMAIN, OFFICE_TO_CAFE, StationInterface, Topology
from segue.lab.options import CODED, RunOptions
from segue.lab.phones import LabPhone, Office
from segue.lab.scenario import Progress

GOT = 0.95  # of a stream's speech: it was overheard

TOPOLOGY = Topology(
    "controls",
    (OFFICE_TO_CAFE.network("office"), OFFICE_TO_CAFE.network("home")),
    (
        StationInterface("mn", "wlan0", "office", static=True),
        StationInterface("cn", "wlan0", "home", static=True),
    ),
)


@dataclass(frozen=True)
class Control:
    """One call, and what is tried on it. It is hung up `patience` seconds after the last attack. `rings`:
    seconds before the callee answers."""

    name: str
    phases: tuple[Phase, ...]
    patience: float
    weak: tuple[str, ...] = ()
    signalling: str = "udp"
    keying: str = "none"
    rings: float = 0.2
    on_media: bool = True
    overheard: bool = False
    codec: str = ""  # another one than the walk's
    mode: str = "reinvite"
    before_move: float = 0.0  # seconds from the call's beginning to the caller's move; 0 for none


CONTROLS = (
    Control(
        "clear",
        (
            Phase(2.5, {FORGED_MEDIA: 100}),
            Phase(0.8, {REINVITE: 2}, ("cn",)),
            Phase(0.1, {BYE: 1}, ("cn",)),
        ),
        1.5,
        overheard=True,
    ),
    Control("replay", (Phase(2.5, {REPLAYED_MEDIA: 100}, ("cn",)),), 0.3, ("replay",), "tls", "sdes"),
    Control(
        "untagged",
        (Phase(1.5, {FORGED_MEDIA: 50}, ("cn",)),),
        0.3,
        ("unauthenticated",),
        "tls",
        "sdes",
        codec="PCMA",
    ),  # noise in Opus is not loud
    Control("rtcp", (Phase(0.2, {RTCP_BYE: 1}, ("cn",)),), 1.5, ("rtcp_bye",)),
    Control("cancel", (Phase(0.1, {CANCEL: 1}, ("cn",)),), 1.5, rings=1.5, on_media=False),
)
CHECKS = Control(
    "checks",
    (Phase(1.5, {FORGED_CHECK: 20}, ("cn",)), Phase(1.5, {REPLAYED_CHECK: 20}, ("cn",))),
    0.5,
    ("credulous",),
    "tls",
    "sdes",
    mode="migrate",
)
MOVE = Control(
    "move",
    (Phase(0.0, {}),),
    3.0,
    ("credulous", "replay"),
    "tls",
    "sdes",
    mode="migrate",
    before_move=6.0,
)
BEGINNING = 60  # packets, which were 4 s old before the move
LONGEST = 20.0  # seconds of a call


def run_controls(
    folder: Path,
    options: RunOptions | None = None,
    controls: tuple[Control, ...] = CONTROLS,
    progress: Progress | None = None,
) -> list[AttackResult]:
    """About 40 s. `options`: codec and family are taken from them. Each control leaves its captures and recordings in
    a folder of its name. Raises LocalError when a phone does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    given = options or RunOptions()
    if MODES[given.mode].ice:
        controls = (*controls, CHECKS)
    base = RunOptions(codec=given.codec, talk=given.talk, family=given.family, seed=given.seed)
    with Network(TOPOLOGY, seed=base.seed, folder=folder) as network:
        office = Office(network, folder / "office")
        office.start_server()
        results = []
        for number, control in enumerate(controls):
            if progress:
                progress(f"with the defence off: {control.name}", number, len(controls))
            results += _run(network, office, folder / control.name, base, control)
    with Network(OFFICE_TO_CAFE, seed=base.seed, folder=folder) as network:
        office = Office(network, folder / "office")
        office.start_server()
        if progress:
            progress("with the defence off: move", 0, 1)
        results += _run(network, office, folder / MOVE.name, base, MOVE)
    return _summed(results)


def _summed(results: list[AttackResult]) -> list[AttackResult]:
    """One result of each kind."""
    found: dict[str, AttackResult] = {}
    for kind, tried, accepted, evidence in results:
        before = found.get(kind, AttackResult(kind, 0, 0, ""))
        words = f"{before.evidence}; {evidence}" if before.evidence else evidence
        found[kind] = AttackResult(kind, before.tried + tried, before.accepted + accepted, words)
    return list(found.values())


def _run(
    network: Network, office: Office, folder: Path, base: RunOptions, control: Control
) -> list[AttackResult]:
    folder.mkdir(parents=True, exist_ok=True)
    options = replace(
        base,
        signalling=control.signalling,
        keying=control.keying,
        codec=control.codec or base.codec,
        mode=control.mode,
    )
    resolvers = _join(network, folder, options) if control.before_move else ""
    callee = _start_weak(network, office, folder, options, control)
    caller = LabPhone(network, office, "mn", folder, options)
    capture = network.start_capture(folder / "captures", ("mn", "cn"))
    try:
        attacks = start_attacks(
            network,
            folder,
            seconds=0.0,
            secure=control.keying != "none",
            phases=control.phases,
            hosts=("mn", "cn") if control.on_media else ("cn",),
            on_media=control.on_media,
            delay=0.3 if control.on_media else 0.0,
            seed=base.seed,
            beginning=BEGINNING if control.before_move and base.talk == CODED else 0,
            relays=control.before_move > 0,
        )
        caller.start("call", f"bob@{DOMAIN}", "--duration", LONGEST, resolvers=resolvers)
        if control.on_media:
            caller.wait_for("up")
        if control.before_move:
            time.sleep(control.before_move)
            network.move("mn", "wlan0", "cafe")
            time.sleep(control.patience)
            attacks.stop()
        else:
            attacks.wait(LONGEST)
            time.sleep(control.patience)
        until = time.time()
        caller.finish(0.01)
    finally:
        callee.terminate()
        callee.wait(5)
        capture.stop()
    results = judge(folder, until=until, speech=human_speech(options.talk, RATE))
    if control.overheard:
        heard = eavesdrop(
            folder / "captures", folder / "overheard", talkers=(options.talk,), injected=folder / LOG
        )
        results.append(as_attack(heard, GOT))
    return results


def _join(network: Network, folder: Path, options: RunOptions) -> str:
    """The caller is in the office; where it finds name servers."""
    resolvers = folder / "resolvers"
    resolvers.mkdir(exist_ok=True)
    network.start_attachment_agent("mn", families=str(options.family), resolvers=str(resolvers))
    network.attach("mn", "wlan0", "office")
    return str(resolvers)


def _start_weak(
    network: Network, office: Office, folder: Path, options: RunOptions, control: Control
) -> subprocess.Popen[Any]:
    """Returns when it is registered."""
    proxy = network.address("proxy", options.family)
    host = f"[{proxy}]" if options.family == 6 else str(proxy)
    said = {
        "aor": f"sip:bob@{DOMAIN}",
        "registrar": f"{host}:{5061 if options.signalling == 'tls' else 5060}",
        "transport": options.signalling,
        "password": str(office.password_file("bob")),
        "ca": office.ca,
        "family": options.family,
        "codec": options.codec,
        "keying": options.agreed_keying,
        "audio_in": options.talk,
        "audio_out": str(folder / "cn.wav"),
        "answer_after": control.rings,
        "weak": control.weak,
    }
    file = folder / "weak.jsonl"
    with open(file, "w") as events, open(folder / "weak.err", "w") as errors:
        process = network.hosts["cn"].popen(
            python_command("segue.lab.attacks.weak_phone", json.dumps(said)),
            stdout=events,
            stderr=errors,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_for(lambda: '"event": "registered"' in file.read_text(), 10.0, "the weak phone")
    except LocalError:
        process.kill()
        words = (folder / "weak.err").read_text().strip().splitlines()[-1:]
        raise LocalError(f"the weak phone did not start: {' '.join(words)}", f"see {folder}") from None
    return process
