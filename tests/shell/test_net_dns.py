"""DNS over real loopback sockets, against a small name server."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.trace import MemoryTrace
from segue.net import dns as net_dns
from segue.net.dns import Naptr, OnAnswer, Record, Resolver, Srv, system_servers
from segue.net.dns_wire import Question
from segue.net.tcp import StreamConnection, listen_tcp
from segue.net.udp import UdpSocket

ZONE = """
example.com. 60 NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.
example.com. 60 NAPTR 20 50 "s" "SIP+D2U" "" _sip._udp.example.com.
_sips._tcp.example.com. 60 SRV 0 5 5061 proxy.example.com.
_sip._udp.example.com. 60 SRV 0 0 0 .
proxy.example.com. 60 A 192.0.2.5
proxy.example.com. 60 A 192.0.2.6
proxy.example.com. 60 AAAA 2001:db8::5
www.example.com. 60 CNAME proxy.example.com.
brief.example.com. 0 A 192.0.2.9
""".strip().splitlines()

Change = Callable[[dns.message.Message], dns.message.Message | bytes | None]


class NameServer:
    """Answers from ZONE over UDP and TCP; `change` may alter or swallow an answer over UDP."""

    def __init__(self, change: Change | None = None) -> None:
        self.asked: list[str] = []
        self.change = change
        self.udp = UdpSocket(Address("127.0.0.1", 0), on_datagram=self._datagram)
        self.at = self.udp.local
        self.tcp = listen_tcp(self.at, "", self._connection)

    def _datagram(self, octets: bytes, source: Address, _now: float) -> None:
        answer: dns.message.Message | bytes | None = self._answer(octets)
        if self.change is not None:
            assert isinstance(answer, dns.message.Message)
            answer = self.change(answer)
        if answer is not None:
            self.udp.send(answer if isinstance(answer, bytes) else answer.to_wire(), source)

    def _connection(self, stream: StreamConnection) -> None:
        def octets(data: bytes, _now: float) -> None:
            self.asked.append("tcp")
            wire = self._answer(data[2:]).to_wire()
            stream.write(struct.pack("!H", len(wire)) + wire[:5])
            stream.write(wire[5:])

        stream.on_octets = octets

    def _answer(self, octets: bytes) -> dns.message.Message:
        query = dns.message.from_wire(octets)
        name, kind = query.question[0].name.to_text(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{name} {kind}")
        answer = dns.message.make_response(query)
        for line in ZONE:
            owner, ttl, its_kind, data = line.split(maxsplit=3)
            if owner == name and its_kind in (kind, "CNAME"):
                answer.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", its_kind, data))
                if its_kind == "CNAME":
                    answer.answer.append(dns.rrset.from_text(data, 60, "IN", "A", "192.0.2.5"))
        if not answer.answer:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


async def ask(resolver: Resolver, name: str, kind: str) -> list[Record]:
    return await asyncio.wait_for(resolver.resolve(name, kind), 5)


async def test_the_kinds_that_sip_wants() -> None:
    server = NameServer()
    resolver = Resolver([server.at])
    assert await ask(resolver, "example.com", "NAPTR") == [
        Naptr(10, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(20, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
    ]
    assert await ask(resolver, "_sips._tcp.Example.com.", "SRV") == [Srv(0, 5, 5061, "proxy.example.com")]
    assert await ask(resolver, "_sip._udp.example.com", "SRV") == [Srv(0, 0, 0, ".")]
    assert await ask(resolver, "proxy.example.com", "A") == ["192.0.2.5", "192.0.2.6"]
    assert await ask(resolver, "proxy.example.com", "AAAA") == ["2001:db8::5"]
    assert await ask(resolver, "www.example.com", "A") == ["192.0.2.5"]
    assert await ask(resolver, "nobody.example.com", "A") == []
    server.close()


async def test_answers_are_remembered_for_their_time() -> None:
    server = NameServer()
    resolver = Resolver([server.at])
    for name in ("proxy.example.com", "brief.example.com", "nobody.example.com"):
        first = await ask(resolver, name, "A")
        assert await ask(resolver, name, "A") == first
    asked = [server.asked.count(f"{n}.example.com. A") for n in ("proxy", "brief", "nobody")]
    assert asked == [1, 2, 1]
    resolver.forget()
    await ask(resolver, "proxy.example.com", "A")
    assert server.asked.count("proxy.example.com. A") == 2
    server.close()


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_dns, "CACHE", 4)
    server = NameServer()
    resolver = Resolver([server.at])
    for number in range(8):
        await ask(resolver, f"n{number}.example.com", "A")
    assert len(resolver._cache) == 4
    server.close()


async def test_the_same_question_is_asked_once() -> None:
    server = NameServer()
    resolver = Resolver([server.at])
    answers = await asyncio.gather(*(ask(resolver, "proxy.example.com", "A") for _ in range(5)))
    assert answers == [["192.0.2.5", "192.0.2.6"]] * 5
    assert len(server.asked) == 1
    server.close()


async def test_asked_again_when_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_dns, "RETRIES", (0.01, 0.02, 5.0))
    lost = [1, 2]
    server = NameServer(lambda answer: None if lost and lost.pop() else answer)
    resolver = Resolver([server.at])
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]
    assert len(server.asked) == 3
    server.close()


async def test_next_server_when_one_is_silent_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def servfail(answer: dns.message.Message) -> dns.message.Message:
        answer.set_rcode(dns.rcode.SERVFAIL)
        answer.answer.clear()
        return answer

    refusing, good = NameServer(servfail), NameServer()
    resolver = Resolver([refusing.at, good.at])
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]
    assert (len(refusing.asked), len(good.asked)) == (1, 1)
    only = Resolver([refusing.at])
    with pytest.raises(
        RemoteError, match=r"cannot look up brief\.example\.com: the name server says servfail"
    ):
        await ask(only, "brief.example.com", "A")
    monkeypatch.setattr(net_dns, "RETRIES", (0.01, 5.0))
    silent = NameServer(lambda _answer: None)
    assert await ask(Resolver([silent.at, good.at]), "brief.example.com", "A") == ["192.0.2.9"]
    for server in (refusing, good, silent):
        server.close()


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_dns, "RETRIES", (0.01, 0.01))
    server = NameServer()
    resolver = Resolver([server.at])
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]
    server.change = lambda _answer: None
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]  # run out, but better than none
    with pytest.raises(RemoteError, match="no name server answers"):
        await ask(resolver, "proxy.example.com", "A")
    with pytest.raises(RemoteError, match="no name server is known"):
        await ask(Resolver([]), "proxy.example.com", "A")
    server.close()


async def test_what_is_truncated_comes_over_tcp() -> None:
    def cut(answer: dns.message.Message) -> dns.message.Message:
        answer.answer.clear()
        answer.flags |= dns.flags.TC
        return answer

    server = NameServer(cut)
    resolver = Resolver([server.at])
    assert await ask(resolver, "proxy.example.com", "A") == ["192.0.2.5", "192.0.2.6"]
    assert "tcp" in server.asked
    server.close()


async def test_forged_answers_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong identifier, wrong question, wrong source: dropped, and the true answer still taken."""
    monkeypatch.setattr(net_dns, "RETRIES", (0.02, 5.0))
    trace = MemoryTrace()
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def forge(answer: dns.message.Message) -> dns.message.Message | None:
        if len(server.asked) > 1:
            return answer
        target = next(iter(resolver._open.values())).sockets[server.at].local
        true_wire = answer.to_wire()
        stranger.sendto(
            true_wire.replace(b"\xc0\x00\x02\x09", b"\xc6\x33\x64\x01"), ("127.0.0.1", target.port)
        )
        forged = bytearray(true_wire.replace(b"\xc0\x00\x02\x09", b"\xc6\x33\x64\x01"))
        forged[0] ^= 0xFF
        server.udp.send(bytes(forged), Address("127.0.0.1", target.port))
        server.udp.send(true_wire.replace(b"brief", b"other"), Address("127.0.0.1", target.port))
        server.udp.send(b"\0" * 7, Address("127.0.0.1", target.port))
        return None

    server = NameServer(forge)
    resolver = Resolver([server.at], trace=trace)
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]
    assert trace.drops["dns", "answer from a stranger"] == 1
    assert trace.drops["dns", "malformed or foreign answer"] == 3
    stranger.close()
    server.close()


async def test_over_an_interface_and_the_stub_on_loopback() -> None:
    server = NameServer()
    resolver = Resolver([server.at], "wlan77")  # loopback servers are not on the network
    assert await ask(resolver, "brief.example.com", "A") == ["192.0.2.9"]
    gone = Resolver([Address("192.0.2.53", 53)], "wlan77")
    problems: asyncio.Queue[str] = asyncio.Queue()
    note: OnAnswer = lambda _records, problem: problems.put_nowait(problem)  # noqa: E731
    gone.ask("brief.example.com", "A", note)
    gone.close()
    assert await asyncio.wait_for(problems.get(), 5) == "the resolver was closed"
    server.close()


async def test_names_that_cannot_be_asked_for() -> None:
    resolver = Resolver([Address("127.0.0.1", 9)])
    for name in ("a" * 64 + ".example", "a..b", "." * 5 + "x", "x." * 200):
        with pytest.raises(RemoteError, match="is no domain name"):
            await ask(resolver, name, "A")


async def test_hosts_file_and_localhost(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 Alice.example alice # comment\n2001:0db8::1 alice\nnonsense\nx y\n")
    resolver = Resolver([], hosts_file=str(hosts))
    assert await ask(resolver, "ALICE", "A") == ["192.0.2.1"]
    assert await ask(resolver, "alice", "AAAA") == ["2001:db8::1"]
    assert await ask(resolver, "alice.example.", "A") == ["192.0.2.1"]
    assert await ask(resolver, "localhost", "AAAA") == ["::1"]


def test_system_servers(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch a\nnameserver bad\nnameserver\n"
    )
    assert system_servers(str(file)) == [Address("192.0.2.53", 53), Address("fe80::1", 53)]
    assert system_servers(str(tmp_path / "none")) == []


def test_dnspython_is_not_imported_before_the_first_question() -> None:
    code = "import segue.net.dns, sys; sys.exit('dns.message' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_octets_are_an_answer_or_none(data: st.DataObject) -> None:
    question = Question("example.com", "NAPTR")
    answer = dns.message.make_response(dns.message.from_wire(question.octets))
    answer.answer.append(
        dns.rrset.from_text(
            "example.com.", 60, "IN", "NAPTR", '10 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.'
        )
    )
    octets = bytearray(answer.to_wire())
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(2, len(octets) - 1))] = data.draw(st.integers(0, 255))
    del octets[data.draw(st.integers(0, len(octets))) :]
    read = question.read(bytes(octets))
    assert read is None or all(isinstance(record, Naptr) for record in read.records)
