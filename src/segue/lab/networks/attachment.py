"""The attachment agent of a host in the lab: `python -m segue.lab.networks.attachment INTERFACES [KEY=VALUE …]`.

The same agent as `segue attach`; here its interface identifiers come from the lab's seed, so that a run can be
repeated with the same addresses. It says `ready` on standard output, takes real-time priority when it may, and
ends with the lab.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from segue.base.errors import LocalError
from segue.base.secret import Secret
from segue.lab.networks.link_process import take_priority
from segue.lab.networks.namespaces import inside_lab
from segue.mobility.attach_agent import run_attach
from segue.testing.entropy import SeededEntropy


def main() -> None:
    if not inside_lab():
        raise LocalError("this agent's addresses can be foretold", "outside the lab use segue attach")
    options = dict(argument.partition("=")[::2] for argument in sys.argv[2:])
    interfaces = sys.argv[1].split(",")
    entropy = SeededEntropy(f"attachment {options.get('seed', '0')} {sys.argv[1]}")
    families = tuple(int(family) for family in options.get("families", "6,4").split(","))
    folder = Path(options["resolvers"]) if "resolvers" in options else None
    take_priority()
    gc.freeze()
    run_attach(
        interfaces,
        families,
        options.get("dad", "optimistic"),
        rapid_commit=options.get("rapid_commit", "1") == "1",
        key=Secret(entropy.octets(32)),
        entropy=entropy,
        resolver_folder=folder,
        radio=options.get("radio", ""),
        ready=lambda: print("ready", flush=True),
    )


if __name__ == "__main__":
    main()
