"""What `segue doctor` looks at. Each check is a function that gives findings; none of them changes anything."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from segue.base.address import Address
from segue.base.errors import LocalError

GOOD, LIMITED, BAD = "good", "limited", "bad"
_DNS_PATIENCE = 1.5  # seconds for each server
_MOST_SERVERS = 3
_EARLIEST = 1_760_000_000  # Unix time of a day before this program was written
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Finding(NamedTuple):
    """`state`: good; limited: something goes without, or not as well; bad: calls do not work. `remedy` is empty
    when there is nothing to do."""

    check: str
    state: str
    found: str
    remedy: str = ""


def python() -> Iterable[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.release()}"
    if _numbers(platform.python_version()) < (3, 11):
        yield Finding("Python", BAD, found, "install Python 3.11 or newer")
    elif sys.platform != "linux":
        yield Finding("Python", BAD, found, "run it on Linux: sockets, namespaces and timers are Linux'")
    else:
        yield Finding("Python", GOOD, found)


def libraries() -> Iterable[Finding]:
    """Those that the package itself asks for."""
    problems, count = [], 0
    for line in importlib.metadata.requires("segue") or []:
        name, least, marker = _requirement(line)
        if "extra" in marker or not _applies(marker):
            continue
        count += 1
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{name} is missing")
            continue
        if _numbers(version) < _numbers(least):
            problems.append(f"{name} {version} is older than {least}")
    if problems:
        yield Finding("libraries", BAD, ", ".join(problems), "pip install --upgrade segue")
    else:
        yield Finding("libraries", GOOD, f"all {count}")


def _requirement(line: str) -> tuple[str, str, str]:
    """Name, least version and marker."""
    wanted, _, marker = line.partition(";")
    match = re.match(r"\s*([\w.-]+)[^<>=!~]*(?:>=\s*([\d.]+))?", wanted)
    return (match[1], match[2] or "0", marker) if match else (wanted.strip(), "0", marker)


def _applies(marker: str) -> bool:
    here = {"platform_system": platform.system(), "platform_machine": platform.machine()}
    conditions = re.findall(r"(\w+)\s*==\s*['\"]([^'\"]+)['\"]", marker)
    return all(here.get(name, value) == value for name, value in conditions)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def opus() -> Iterable[Finding]:
    from segue.media.codecs.opus import load_library

    try:
        load_library()
    except LocalError as error:
        yield Finding("Opus", LIMITED, error.problem, error.remedy)
    else:
        yield Finding("Opus", GOOD, "libopus is there")


def sound_card() -> Iterable[Finding]:
    """By opening it, for a moment."""
    from segue.devices.open import open_sink, open_source

    openers: tuple[tuple[str, Callable[[str, int], object]], ...] = (
        ("microphone", open_source),
        ("loudspeaker", open_sink),
    )
    for name, opener in openers:
        try:
            opened = opener("device", 48000)
        except LocalError as error:
            yield Finding(name, LIMITED, error.problem, error.remedy)
        else:
            opened.close()  # type: ignore[attr-defined]
            yield Finding(name, GOOD, "opens")


def interfaces() -> Iterable[Finding]:
    """Each interface but the loopback: carrier, addresses, default routes."""
    from segue.net.rtnetlink_write import Rtnetlink

    with Rtnetlink() as tables:
        links = [link for link in tables.links() if link.name != "lo"]
        addresses = list(tables.addresses())
    routes = _default_routes()
    usable = 0
    for link in links:
        own = [str(a.address) for a in addresses if a.index == link.index and not a.address.is_link_local]
        kinds = "+".join(sorted(family for family, name in routes if name == link.name))
        words = ["link up" if link.carrier else "no link", ", ".join(own) or "no address"]
        words.append(f"default route {kinds}" if kinds else "no default route")
        works = link.carrier and bool(own)
        if link.kind and not works:
            continue  # made by software, for something else
        usable += works
        remedy = "" if works else f"attach it (segue attach {link.name}), if calls are to use it"
        yield Finding(f"interface {link.name}", GOOD if works else LIMITED, "; ".join(words), remedy)
    if not usable:
        yield Finding("network", BAD, "no interface has a link and an address", "connect to a network")
    elif usable == 1:
        yield Finding(
            "network", GOOD, "one network: moves are hard ones", "attach a second one for soft moves"
        )
    else:
        yield Finding("network", GOOD, f"{usable} networks: soft moves are possible")


def _default_routes() -> set[tuple[str, str]]:
    """(family, interface)"""
    found = set()
    for words in _table("/proc/net/route"):
        if len(words) > 7 and words[1] == words[7] == "00000000":
            found.add(("IPv4", words[0]))
    for words in _table("/proc/net/ipv6_route"):
        if len(words) > 9 and words[1] == "00" and set(words[0]) == {"0"} and words[9] != "lo":
            found.add(("IPv6", words[9]))
    return found


def _table(path: str) -> list[list[str]]:
    try:
        return [line.split() for line in Path(path).read_text().splitlines()]
    except OSError:
        return []


def binding() -> Iterable[Finding]:
    """SO_BINDTODEVICE, which makes packets leave by the interface that was chosen."""
    from segue.net.sockets import open_socket

    try:
        open_socket(socket.SOCK_DGRAM, Address("127.0.0.1", 0), "lo").close()
    except LocalError as error:
        yield Finding("binding to interfaces", BAD, error.problem, error.remedy)
    else:
        yield Finding("binding to interfaces", GOOD, "permitted")


def ipv6() -> Iterable[Finding]:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
            opened.bind(("::1", 0))
    except OSError:
        remedy = "sysctl -w net.ipv6.conf.all.disable_ipv6=0, or use IPv4 only"
        yield Finding("IPv6", LIMITED, "switched off", remedy)
    else:
        yield Finding("IPv6", GOOD, "works on this machine")


def names() -> Iterable[Finding]:
    """Whether a name server of this machine answers; asked for the root zone's."""
    import dns.exception
    import dns.message
    import dns.query

    from segue.net.name_files import system_servers

    servers = system_servers()[:_MOST_SERVERS]
    for server in servers:
        try:
            dns.query.udp(dns.message.make_query(".", "NS"), server.host, timeout=_DNS_PATIENCE)
        except (OSError, dns.exception.DNSException):
            continue
        yield Finding("DNS", GOOD, f"{server.host} answers")
        return
    tried = ", ".join(server.host for server in servers)
    found = f"no answer from {tried}" if tried else "/etc/resolv.conf names no server"
    yield Finding("DNS", LIMITED, found, "correct /etc/resolv.conf, or give servers by address")


def namespaces() -> Iterable[Finding]:
    """What `segue lab` and `segue demo` need."""
    from segue.lab.networks.namespaces import can_make_namespaces, can_make_user_namespaces

    if can_make_namespaces():
        yield Finding("namespaces", GOOD, "permitted to this user")
    elif can_make_user_namespaces():
        yield Finding("namespaces", GOOD, "permitted in a user namespace")
    else:
        remedy = (
            "run segue lab as root, or permit user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        )
        yield Finding("namespaces", LIMITED, "not permitted: segue lab and demo do not run", remedy)


def tun() -> Iterable[Finding]:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        found = f"/dev/net/tun: {(error.strerror or '').lower()}"
        yield Finding(
            "TUN", LIMITED, found, "modprobe tun, and run as root; only tunnels need it, calls do not"
        )
    else:
        yield Finding("TUN", GOOD, "/dev/net/tun opens")


def real_time() -> Iterable[Finding]:
    """Tried on this process, and taken back."""
    from segue.net.packet_clock import become_realtime

    before = os.sched_getscheduler(0)
    parameters = os.sched_getparam(0)
    if become_realtime():
        os.sched_setscheduler(0, before, parameters)
        yield Finding("real-time priority", GOOD, "permitted")
        return
    remedy = "add to /etc/security/limits.conf: YOU - rtprio 10, and log in again"
    yield Finding("real-time priority", LIMITED, "not permitted: voice may stutter on a busy machine", remedy)


def state_folder() -> Iterable[Finding]:
    """Where `segue call` keeps the device's identity."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "segue"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        remedy = "make it writable, or give --state-dir"
        yield Finding("state folder", BAD, f"{existing} cannot be written to", remedy)
        return
    if folder.exists() and folder.stat().st_mode & 0o022:
        yield Finding("state folder", LIMITED, f"others can write to {folder}", f"chmod 700 {folder}")
        return
    yield Finding("state folder", GOOD, str(folder))


def clock() -> Iterable[Finding]:
    """Certificates are judged by it."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < _EARLIEST:
        yield Finding("clock", BAD, f"it says {shown}: no certificate will be valid", "set it: timedatectl")
        return
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if state == _TIME_ERROR:
        yield Finding(
            "clock", LIMITED, f"{shown}, not synchronised", "run a time service (chrony, timesyncd)"
        )
    else:
        yield Finding("clock", GOOD, f"{shown}{'' if state < 0 else ', synchronised'}")


CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    python,
    libraries,
    opus,
    sound_card,
    interfaces,
    binding,
    ipv6,
    names,
    clock,
    state_folder,
    real_time,
    namespaces,
    tun,
)


def examine(looking_at: Callable[[str], object] = lambda _: None) -> list[Finding]:
    """All checks; one that cannot even look says so. `looking_at` gets the name of each before it begins, and ""
    at the end."""
    findings: list[Finding] = []
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        looking_at(name)
        try:
            findings += check()
        except (OSError, ImportError, AttributeError) as error:
            findings.append(Finding(name, LIMITED, f"could not be looked at: {error}"))
    looking_at("")
    return findings
