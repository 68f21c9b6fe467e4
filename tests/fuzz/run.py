"""Runs one fuzz target until it is stopped, or `--seconds` long: by atheris where that is installed, which lets
coverage lead, else by mutation. `python tests/fuzz/run.py` lists the targets; `run.py NAME FILE` gives it one input
again.

What raises is written to `fuzz-NAME` and told with its traceback; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from segue.testing.mutation import mutations

TARGETS = runpy.run_path(str(Path(__file__).with_name("targets.py")))["TARGETS"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("name", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.name is None:
        print("\n".join(TARGETS))
        return
    target = TARGETS[given.name]
    if given.file is not None:
        target.run(given.file.read_bytes())
        return
    try:
        import atheris
    except ImportError:
        _mutate(given.name, target.run, target.seeds, given.seconds, given.seed)
        return
    atheris.Setup([sys.argv[0], f"-max_total_time={min(given.seconds, 1 << 30):.0f}"], target.run)
    atheris.Fuzz()


def _mutate(name: str, run: Callable[[bytes], None], seeds: list[bytes], seconds: float, seed: int) -> None:
    end = time.monotonic() + seconds
    for count, data in enumerate(mutations(seeds, Random(seed)), 1):
        try:
            run(data)
        except Exception:
            Path(f"fuzz-{name}").write_bytes(data)
            print(f"input {count} is in fuzz-{name}: {data[:200]!r}", file=sys.stderr)
            raise
        if time.monotonic() >= end:
            print(f"{name}: {count} inputs")
            return


if __name__ == "__main__":
    main()
