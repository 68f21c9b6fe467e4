"""How many REGISTERs a second `segue server` answers 200, each one on disk before its answer (needs sipp).

    python benchmarks/registrar.py [--users N] [--each N] [--calls N] [--json]

sipp (Debian: sip-tester) registers users over UDP on loopback: each call is challenged once, then refreshes with the
same nonce (MD5: sipp 3.6 knows no other). Server and sipp are separate processes, each on one core
where there are two. Afterwards every binding is looked for in the database file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REGISTER = """<send retrans="500"{next}><![CDATA[
REGISTER sip:example.org SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]-[cseq]
Max-Forwards: 70
From: <sip:[field0]@example.org>;tag=[call_number]
To: <sip:[field0]@example.org>
Call-ID: [call_id]
CSeq: [cseq] REGISTER
Contact: <sip:[field0]@[local_ip]:[local_port]>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-[field2]>";reg-id=1
Expires: 600
Supported: path, outbound, gruu
{authorization}
Content-Length: 0

]]></send>"""


def scenario(each: int) -> str:
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="registers">
{REGISTER.format(next="", authorization="User-Agent: bench")}
<recv response="401" auth="true"/>
<nop><action><assign assign_to="1" value="0"/></action></nop>
<label id="1"/>
{REGISTER.format(next="", authorization="[field1]")}
<recv response="200"/>
<nop><action><add assign_to="1" value="1"/>
<test assign_to="2" variable="1" compare="less_than" value="{each}"/></action></nop>
<nop next="1" test="2"/>
</scenario>
"""


def wait_for(port: int) -> None:
    probe = (
        "OPTIONS sip:example.org SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bKprobe{time.time_ns()}\r\n"
        "From: <sip:probe@example.org>;tag=1\r\nTo: <sip:example.org>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        probing.settimeout(0.2)
        for _ in range(50):
            probing.sendto(probe, ("127.0.0.1", port))
            try:
                probing.recv(4096)
            except OSError:
                continue
            return
    raise SystemExit("the server does not answer")


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if (os.cpu_count() or 1) > 1 and shutil.which("taskset") else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--each", type=int, default=60, help="REGISTERs of one call with the same nonce")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--port", type=int, default=5099)
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile of the server there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("sipp is missing: apt-get install sip-tester")
    with tempfile.TemporaryDirectory() as folder:
        print(report(measure(given, Path(folder)), given.json))


def measure(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    names = [f"u{number}" for number in range(given.users)]
    users = folder / "users"
    users.touch(mode=0o600)
    users.write_text("".join(f"{name}:pw{name}\n" for name in names))
    lines = "".join(
        f"{name};[authentication username={name} password=pw{name}];{number:012d}\n"
        for number, name in enumerate(names)
    )
    (folder / "users.csv").write_text(f"SEQUENTIAL\n{lines}")
    (folder / "scenario.xml").write_text(scenario(given.each))
    (folder / "server.toml").write_text(
        f'domain = "example.org"\nlisten = ["udp:127.0.0.1:{given.port}"]\ndb = "{folder}/server.db"\n'
        f'users = "{users}"\n[policy]\nrequests_rate = 0.0\ndigest = ["MD5"]\n'
    )
    profile = ["-m", "cProfile", "-o", given.profile] if given.profile else []
    runner = folder / "run.py"
    runner.write_text("import sys\nfrom segue.cli.server import server\nserver(sys.argv[1:])\n")
    command = [*pinned(0), sys.executable, *profile, str(runner), "--config", str(folder / "server.toml")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(given.port)
        before = os.times()
        began, busy = time.monotonic(), cpu_of(server.pid)
        done = subprocess.run(
            [
                *pinned(1),
                *("sipp", f"127.0.0.1:{given.port}", "-sf", "scenario.xml", "-inf", "users.csv"),
                *("-m", str(given.calls), "-l", str(given.at_once), "-r", "10000", "-i", "127.0.0.1"),
                *("-nostdin", "-auth_uri", "example.org", "-timeout", "60", "-trace_err"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds, busy = time.monotonic() - began, cpu_of(server.pid) - busy
        del before
        if done.returncode:
            print(
                done.stdout[-2000:],
                done.stderr[-2000:],
                *(p.read_text()[:3000] for p in folder.glob("*err*")),
            )
            raise SystemExit("sipp failed")
    finally:
        server.terminate() if given.profile else server.kill()
        server.wait()
    with sqlite3.connect(folder / "server.db") as database:
        stored = database.execute("select count(*) from bindings").fetchone()[0]
    return {
        "registers": given.calls * given.each,
        "seconds": round(seconds, 2),
        "registers_per_second": round(given.calls * given.each / seconds),
        "server_cpu_seconds": round(busy, 2),
        "registers_per_cpu_second": round(given.calls * given.each / max(busy, 0.01)),
        "bindings_expected": min(given.users, given.calls),
        "bindings_on_disk_after_kill": stored,
    }


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(figures: dict[str, float], as_json: bool) -> str:
    return (
        json.dumps(figures)
        if as_json
        else "\n".join(f"{n.replace('_', ' ')}: {v}" for n, v in figures.items())
    )


if __name__ == "__main__":
    main()
