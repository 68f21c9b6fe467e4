"""Questions to DNS: NAPTR, SRV, A and AAAA, over one interface and to that network's servers.

Each question leaves from a port of its own with an identifier of its own (RFC 5452 section 9.2); an answer counts
when it comes from the server asked and repeats the question. It is asked at 0, 1, 3 and 7 s, of the servers in turn;
late answers still count. Truncated answers are asked for again over TCP (RFC 7766). Answers live as long as their
TTL; when nobody answers, those that have run out are better than none (RFC 8767).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from segue.base.address import Address
from segue.base.errors import LocalError, RemoteError, SegueError
from segue.base.trace import NO_TRACE, Trace
from segue.net.dns_records import Naptr, Record, Srv
from segue.net.name_files import read_hosts, system_servers
from segue.net.tcp import StreamConnection, connect_tcp
from segue.net.udp import UdpSocket

if TYPE_CHECKING:
    from segue.net.dns_wire import Question

__all__ = ["Naptr", "OnAnswer", "Record", "Resolver", "Srv", "prepare", "system_servers"]

RETRIES = (1.0, 2.0, 4.0, 4.0)  # seconds until it is asked again; after the last, nobody has answered
CACHE = 256  # questions
QUESTIONS = 128  # open at once
LONGEST = 86_400.0  # seconds an answer is believed
NEGATIVE = 30.0  # seconds that "there is none" is believed at most
STALE = 86_400.0  # seconds an answer is kept for when nobody answers
_TCP_TIMEOUT = 4.0


OnAnswer = Callable[[list[Record], str], object]
"""Records, and the problem in one line when nobody could be asked ("" when DNS answered, even with nothing)."""


class _Known(NamedTuple):
    until: float
    records: list[Record]


@dataclass
class _Open:
    """A question without answer yet."""

    name: str
    kind: str
    question: Question
    callbacks: list[OnAnswer]
    attempts: int = 0
    refusals: int = 0
    timer: asyncio.TimerHandle | None = None
    sockets: dict[Address, UdpSocket] = field(default_factory=dict)
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    problem: str = "no name server answers"


class Resolver:
    """Asks `servers` (their ports are usually 53) through `interface`, and remembers what they said.

    A server on this host's loopback is asked through no interface: a stub resolver is not on the network.
    """

    def __init__(
        self,
        servers: list[Address],
        interface: str = "",
        *,
        hosts_file: str = "/etc/hosts",
        trace: Trace = NO_TRACE,
    ) -> None:
        self.servers = list(servers)
        self.interface = interface
        self._hosts = read_hosts(hosts_file)
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._open: dict[tuple[str, str], _Open] = {}
        self._cache: dict[tuple[str, str], _Known] = {}  # oldest first

    def ask(self, name: str, kind: str, callback: OnAnswer) -> None:
        """`kind` is "NAPTR", "SRV", "A" or "AAAA". `callback` is called once, and never from within `ask`."""
        name = name.rstrip(".").lower()
        key = name, kind
        local = self._from_hosts(name, kind)
        known = self._cache.get(key)
        if local is not None:
            self._loop.call_soon(callback, local, "")
        elif known is not None and known.until > self._loop.time():
            self._loop.call_soon(callback, list(known.records), "")
        elif key in self._open:
            self._open[key].callbacks.append(callback)
        elif not self.servers:
            self._loop.call_soon(callback, [], "no name server is known")
        elif len(self._open) >= QUESTIONS:
            self._loop.call_soon(callback, [], "too many questions are open")
        else:
            self._begin(name, kind, callback)

    async def resolve(self, name: str, kind: str) -> list[Record]:
        """As `ask`. Raises RemoteError when nobody answers; an empty list means that there is no such record."""
        answer: asyncio.Future[tuple[list[Record], str]] = self._loop.create_future()

        def take(records: list[Record], problem: str) -> None:
            if not answer.done():
                answer.set_result((records, problem))

        self.ask(name, kind, take)
        records, problem = await answer
        if problem:
            raise RemoteError(f"cannot look up {name}: {problem}")
        return records

    def forget(self) -> None:
        """The network has changed: what it said is kept only for when nobody answers."""
        now = self._loop.time()
        self._cache = {
            key: _Known(min(known.until, now), known.records) for key, known in self._cache.items()
        }

    def close(self) -> None:
        """Open questions are answered with a problem, before the loop's next turn."""
        for asked in list(self._open.values()):
            asked.problem = "the resolver was closed"
            self._give_up(asked)

    # --- asking

    def _begin(self, name: str, kind: str, callback: OnAnswer) -> None:
        from segue.net.dns_wire import Question  # not earlier: see there

        try:
            question = Question(name, kind)
        except ValueError:
            self._loop.call_soon(callback, [], f"{name!r} is no domain name")
            return
        opened = self._open[name, kind] = _Open(name, kind, question, [callback])
        self._attempt(opened)

    def _attempt(self, asked: _Open) -> None:
        """Ask the next server, once more."""
        if asked.attempts >= len(RETRIES):
            self._give_up(asked)
            return
        server = self.servers[asked.attempts % len(self.servers)]
        wait = RETRIES[asked.attempts]
        asked.attempts += 1
        if asked.timer is not None:
            asked.timer.cancel()
        asked.timer = self._loop.call_later(wait, self._attempt, asked)
        try:
            opened = asked.sockets.get(server) or self._open_socket(asked, server)
        except LocalError as error:
            asked.problem = str(error)
            return
        if not opened.send(asked.question.octets, server):
            asked.problem = "the name server cannot be reached"
            if asked.attempts < len(self.servers):
                self._attempt(asked)

    def _open_socket(self, asked: _Open, server: Address) -> UdpSocket:
        def take(octets: bytes, source: Address, _now: float) -> None:
            if source == server:
                self._receive(asked, server, octets, stream=False)
            else:
                self._trace.drop("dns", "answer from a stranger", source=source)

        local = Address("::" if server.family == 6 else "0.0.0.0", 0)
        opened = UdpSocket(local, self._interface(server), on_datagram=take, trace=self._trace)
        asked.sockets[server] = opened
        return opened

    def _interface(self, server: Address) -> str:
        return "" if ip_address(server.host).is_loopback else self.interface

    def _receive(self, asked: _Open, server: Address, octets: bytes, *, stream: bool) -> None:
        if self._open.get((asked.name, asked.kind)) is not asked:
            return
        answer = asked.question.read(octets)
        if answer is None:
            self._trace.drop("dns", "malformed or foreign answer", server=server)
        elif answer.truncated and not stream:
            self._ask_stream(asked, server)
        elif answer.failure:
            asked.problem = f"the name server says {answer.failure}"
            asked.refusals += 1
            if asked.refusals >= min(len(self.servers), len(RETRIES)):
                self._give_up(asked)
            else:
                self._attempt(asked)
        else:
            self._settle(asked, answer.records, answer.ttl)

    def _ask_stream(self, asked: _Open, server: Address) -> None:
        if not asked.streams:
            task = self._loop.create_task(self._stream(asked, server))
            asked.streams.add(task)

    async def _stream(self, asked: _Open, server: Address) -> None:
        """The same question over TCP, two octets of length before each message (RFC 1035 section 4.2.2)."""
        got = bytearray()
        whole: asyncio.Future[bytes] = self._loop.create_future()

        def take(octets: bytes, _now: float) -> None:
            got.extend(octets)
            if (
                not whole.done()
                and len(got) >= 2
                and len(got) - 2 >= (length := int.from_bytes(got[:2], "big"))
            ):
                whole.set_result(bytes(got[2 : 2 + length]))

        def lost(reason: str) -> None:
            if not whole.done():
                whole.set_exception(RemoteError(reason))

        connection: StreamConnection | None = None
        try:
            async with asyncio.timeout(_TCP_TIMEOUT):
                connection = await connect_tcp(
                    server, "", self._interface(server), on_octets=take, on_closed=lost, timeout=_TCP_TIMEOUT
                )
                wire = asked.question.octets
                connection.write(struct.pack("!H", len(wire)) + wire)
                octets = await whole
        except (SegueError, TimeoutError) as error:
            asked.problem = str(error) or "no name server answers"
            return
        finally:
            asked.streams.clear()
            if connection is not None:
                connection.close()
        self._receive(asked, server, octets, stream=True)

    # --- answers

    def _settle(self, asked: _Open, records: list[Record], ttl: float) -> None:
        key = asked.name, asked.kind
        self._cache.pop(key, None)
        if len(self._cache) >= CACHE:
            del self._cache[next(iter(self._cache))]
        limit = LONGEST if records else NEGATIVE
        self._cache[key] = _Known(self._loop.time() + min(ttl, limit), records)
        self._end(asked, records, "")

    def _give_up(self, asked: _Open) -> None:
        known = self._cache.get((asked.name, asked.kind))
        if known is not None and known.records and known.until + STALE > self._loop.time():
            self._trace.note("dns", "stale answer used", name=asked.name, kind=asked.kind)
            self._end(asked, known.records, "")
        else:
            self._end(asked, [], asked.problem)

    def _end(self, asked: _Open, records: list[Record], problem: str) -> None:
        self._open.pop((asked.name, asked.kind), None)
        if asked.timer is not None:
            asked.timer.cancel()
        for opened in asked.sockets.values():
            opened.close()
        for task in asked.streams:
            if task is not asyncio.current_task():
                task.cancel()
        for callback in asked.callbacks:
            self._loop.call_soon(callback, list(records), problem)

    def _from_hosts(self, name: str, kind: str) -> list[Record] | None:
        """From the hosts file; `localhost` is known without it (RFC 6761 section 6.3)."""
        if kind not in ("A", "AAAA"):
            return None
        known = self._hosts.get(name)
        if known is None and (name == "localhost" or name.endswith(".localhost")):
            known = ["127.0.0.1", "::1"]
        if known is None:
            return None
        return [host for host in known if (":" in host) == (kind == "AAAA")]


def prepare() -> None:
    """Import what the first question needs, while nobody talks: it takes 40 ms."""
    import segue.net.dns_wire  # noqa: F401
