"""Runs the tests: `make test` without arguments, `make test-peers` with --peers.

What needs other phones or servers is marked `peers`; without them it is listed as not run, with the reason.
With SEGUE_REQUIRE_ALL=1 anything that was not run is a failure (continuous integration).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from segue.lab.networks.namespaces import can_make_namespaces, can_make_user_namespaces, in_user_namespace

ROOT = Path(__file__).resolve().parent.parent
PEERS = {
    "baresip": "baresip-core",
    "linphonec": "linphone-cli",
    "kamailio": "kamailio kamailio-tls-modules",
    "sipp": "sip-tester",
    "turnserver": "coturn",
    "tshark": "tshark",
    "openssl": "openssl",
    "gcc": "gcc libc6-dev python3-dev",  # compiles PESQ
}
FAST = ["tests/unit", "tests/vectors", "tests/scenario", "tests/shell", "tests/fuzz", "tests/architecture"]
NAMESPACES = ["tests/lab"]
INTEROP = ["tests/interop"]


def pytest(paths: list[str], *options: str, networks: bool = False) -> int:
    """One pytest run; 0 when all passed. With `networks` an ordinary user's runs in a user namespace, in which the
    lab may make networks."""
    command = [sys.executable, "-m", "pytest", "-q", *options, *paths]
    if networks and not can_make_namespaces() and can_make_user_namespaces():
        command = in_user_namespace(command)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def missing_peers() -> dict[str, str]:
    """Programs that the interop tests need and this machine lacks, with their Debian packages."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return {
        program: package for program, package in PEERS.items() if shutil.which(program, path=path) is None
    }


def install(packages: list[str]) -> None:
    """apt-get install without starting any service (policy-rc.d says no while we install)."""
    print("installing from Debian:", *packages, flush=True)
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with tempfile.TemporaryFile() as log:
        try:
            for command in (
                ["apt-get", "update"],
                ["apt-get", "install", "-y", "--no-install-recommends", *packages],
            ):
                done = subprocess.run(
                    command, check=False, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
                if done.returncode:
                    log.seek(0)
                    sys.exit(f"{' '.join(command)} failed:\n{log.read().decode()[-2000:]}")
        finally:
            if ours:
                policy.unlink()


def install_pesq() -> None:
    """PESQ, an extra of the package, has no wheels. What needs it is listed as not run when it cannot be compiled."""
    if find_spec("pesq") is None:
        print("compiling PESQ (once; takes about a minute)", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--editable", ".[pesq]"], cwd=ROOT, check=False)


def run_fast() -> int:
    failed = pytest(FAST, "-n", "2", "-m", "not peers")
    return pytest(NAMESPACES, "-m", "not peers", networks=True) or failed


def run_peers() -> int:
    missing = missing_peers()
    if missing and os.geteuid() == 0:
        install(sorted({name for packages in missing.values() for name in packages.split()}))
        missing = missing_peers()
    if missing:
        for program, package in missing.items():
            print(
                f"there is no {program} here: run make test-peers as root, or apt install {package}",
                flush=True,
            )
    install_pesq()
    # They mostly wait: two at a time cost no precision that they judge.
    failed = pytest(INTEROP, "-n", "2", "-m", "peers", networks=True)
    return pytest(NAMESPACES, "-n", "2", "-m", "peers", networks=True) or failed


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peers", action="store_true", help="the tests with other phones and servers")
    if arguments.parse_args().peers:
        return run_peers()
    code = run_fast()
    print("not run here: tests/interop and the lab tests with other phones (make test-peers, as root)")
    return code


if __name__ == "__main__":
    sys.exit(main())
