"""How the phones of a run hand over: what happens to the networks, and what the phones may do about it."""

from __future__ import annotations

from typing import NamedTuple

from segue.lab.networks.topology import DOMAIN


class Mode(NamedTuple):
    """`soft`: the old network goes after the new one has come. `ice`: the phones may move the path by ICE, without
    signalling; else a re-INVITE says where media goes. `duplicate`: they send on both paths during an overlap."""

    what: str
    soft: bool
    ice: bool
    duplicate: bool


MODES = {
    "reinvite": Mode("hard: break before make, told by re-INVITE", soft=False, ice=False, duplicate=False),
    "soft": Mode("make before break, told by re-INVITE", soft=True, ice=False, duplicate=False),
    "migrate": Mode("hard, the path moved by ICE without signalling", soft=False, ice=True, duplicate=False),
    "soft+duplicate": Mode("make before break, sent on both paths", soft=True, ice=True, duplicate=True),
}
AS_THEY_COME = "soft+duplicate"  # a phone's own choice when it is told nothing
SPEECH = {
    "continuous": "speech that comes late is dropped",
    "complete": "every word is played, late and a little faster",
}


def phone_options(mode: str, speech: str) -> list[str]:
    """Of `segue call` and `segue answer`."""
    chosen = MODES[mode]
    options = ["--speech", speech, "--ice" if chosen.ice else "--no-ice"]
    options.append("--duplicate" if chosen.duplicate else "--no-duplicate")
    return options + (["--stun", f"stun:{DOMAIN}"] if chosen.ice else [])
