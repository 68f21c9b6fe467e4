"""How many REGISTERs a second `segue server` answers 200, each one on disk before its answer (needs sipp).

    python benchmarks/registrar.py [--users N] [--registers N] [--each N] [--json]

sipp (Debian: sip-tester) registers users over UDP on loopback (MD5: sipp 3.6 knows no other), as fast as answers
come. First each call is challenged once and then refreshes with the same nonce; then each REGISTER is challenged.
Server and sipp are separate processes, each on one core where there are two. The time to answer is from a REGISTER
with credentials to its 200, while as many are under way as `--at-once` says. What had to be sent again was lost.
Afterwards the server is killed, and every binding is looked for in the database file.
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

REGISTER = """<send retrans="500"{timed}><![CDATA[
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
{REGISTER.format(timed="", authorization="User-Agent: bench")}
<recv response="401" auth="true"/>
<nop><action><assign assign_to="1" value="0"/></action></nop>
<label id="1"/>
{REGISTER.format(timed=' start_rtd="1"', authorization="[field1]")}
<recv response="200" rtd="1" repeat_rtd="true"/>
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
    parser.add_argument("--registers", type=int, default=60_000)
    parser.add_argument("--each", type=int, default=60, help="REGISTERs of one call with the same nonce")
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--port", type=int, default=5099)
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile of the server there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("sipp is missing: apt-get install sip-tester")
    runs = {}
    for name, each in (("nonce reuse", given.each), ("challenged each time", 1)):
        with tempfile.TemporaryDirectory() as folder:
            runs[name] = measure(given, Path(folder), each)
    print(json.dumps(runs) if given.json else "\n\n".join(report(*run) for run in runs.items()))


def measure(given: argparse.Namespace, folder: Path, each: int) -> dict[str, float]:
    calls = given.registers // each
    names = [f"u{number}" for number in range(given.users)]
    users = folder / "users"
    users.touch(mode=0o600)
    users.write_text("".join(f"{name}:pw{name}\n" for name in names))
    lines = "".join(
        f"{name};[authentication username={name} password=pw{name}];{number:012d}\n"
        for number, name in enumerate(names)
    )
    (folder / "users.csv").write_text(f"SEQUENTIAL\n{lines}")
    (folder / "scenario.xml").write_text(scenario(each))
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
        began, busy = time.monotonic(), cpu_of(server.pid)
        done = subprocess.run(
            [
                *pinned(1),
                *("sipp", f"127.0.0.1:{given.port}", "-sf", "scenario.xml", "-inf", "users.csv"),
                *("-m", str(calls), "-l", str(given.at_once), "-r", "10000", "-i", "127.0.0.1"),
                *("-nostdin", "-auth_uri", "example.org", "-timeout", "120", "-trace_err"),
                *("-buff_size", "4194304"),  # sipp 3.6 takes 64 KiB, which the answers to one commit overflow
                *("-trace_rtt", "-rtt_freq", "1000", "-trace_stat", "-fd", "1"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds, busy = time.monotonic() - began, cpu_of(server.pid) - busy
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
    answered = times_to_answer(folder)
    return {
        "registers": calls * each,
        "seconds": round(seconds, 2),
        "registers_per_second": round(calls * each / seconds),
        "lost": lost(folder),
        "answered_within_ms_median": percentile(answered, 50),
        "answered_within_ms_p99": percentile(answered, 99),
        "server_cpu_seconds": round(busy, 2),
        "registers_per_cpu_second": round(calls * each / max(busy, 0.01)),
        "bindings_expected": min(given.users, calls),
        "bindings_on_disk_after_kill": stored,
    }


def times_to_answer(folder: Path) -> list[float]:
    """Milliseconds, ascending."""
    lines = "".join(path.read_text() for path in folder.glob("*_rtt.csv")).splitlines()
    return sorted(float(line.split(";")[1]) for line in lines if line and not line.startswith("Date"))


def percentile(ascending: list[float], percent: int) -> float:
    return round(ascending[min(len(ascending) - 1, len(ascending) * percent // 100)], 1)


def lost(folder: Path) -> int:
    """Messages that sipp sent again."""
    (path,) = (path for path in folder.glob("scenario_*.csv") if not path.name.endswith("_rtt.csv"))
    names, *rows = (line.split(";") for line in path.read_text().splitlines() if line)
    return int(rows[-1][names.index("Retransmissions(C)")])


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(name: str, figures: dict[str, float]) -> str:
    return "\n".join([f"{name}:", *(f"  {n.replace('_', ' ')}: {v:,}" for n, v in figures.items())])


if __name__ == "__main__":
    main()
