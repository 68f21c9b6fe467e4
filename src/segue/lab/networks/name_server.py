"""The lab's authoritative name server: `python -m segue.lab.networks.name_server ZONE`, on port 53 of its host.

Answers for `example.org`: NAPTR and SRV for TLS, TCP and UDP to the proxy (RFC 3263 section 4), addresses of every
host that has static ones. Everything else is refused. UDP and TCP, IPv4 and IPv6.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

from segue.lab.networks.topology import DOMAIN, STATIC_HOST, Subnet, Topology

TTL = 60  # seconds
MAX_CNAMES = 8
MAX_CONNECTIONS = 64
_SIP, _SIPS, _STUN = 5060, 5061, 3478
_ORIGIN = dns.name.from_text(DOMAIN)


def zone_text(topology: Topology) -> str:
    """The zone file of a topology."""
    lines = [
        f"$ORIGIN {DOMAIN}.",
        f"$TTL {TTL}",
        f"@ IN SOA dns hostmaster 1 3600 600 86400 {TTL}",
        "@ IN NS dns",
    ]
    addresses: list[tuple[str, Subnet, int]] = [(server.name, server, 2) for server in topology.servers]
    addresses += [(s.host, topology.network(s.attached), STATIC_HOST) for s in topology.stations if s.static]
    for name, subnet, host in addresses:
        lines += [f"{name} IN AAAA {subnet.host6(host)}", f"{name} IN A {subnet.host4(host)}"]
    if any(server.name == "proxy" for server in topology.servers):
        proxy = topology.server("proxy")
        lines += [
            f"@ IN AAAA {proxy.host6(2)}",
            f"@ IN A {proxy.host4(2)}",
            '@ IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp',
            '@ IN NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp',
            '@ IN NAPTR 30 10 "s" "SIP+D2U" "" _sip._udp',
            f"_sips._tcp IN SRV 10 10 {_SIPS} proxy",
            f"_sip._tcp IN SRV 10 10 {_SIP} proxy",
            f"_sip._udp IN SRV 10 10 {_SIP} proxy",
            f"_stun._udp IN SRV 10 10 {_STUN} proxy",
        ]
    return "\n".join(lines) + "\n"


class NameServer:
    """Queries in, answers out; no sockets."""

    def __init__(self, zone: dns.zone.Zone) -> None:
        self._zone = zone

    def answer(self, query: bytes, limit: int = 65535) -> bytes | None:
        """The answer in at most `limit` octets (then truncated, for UDP); None for what is no query."""
        try:
            asked = dns.message.from_wire(query)
            if asked.flags & dns.flags.QR or not asked.question:
                return None
            answer = dns.message.make_response(asked)
        except dns.exception.DNSException:
            return None
        question = asked.question[0]
        if not question.name.is_subdomain(_ORIGIN) or question.rdclass != dns.rdataclass.IN:
            answer.set_rcode(dns.rcode.REFUSED)
        else:
            answer.flags |= dns.flags.AA
            self._fill(answer, question.name, question.rdtype)
        if asked.edns >= 0 and limit == 512:
            limit = max(512, min(asked.payload, 1232))
        try:
            return answer.to_wire(max_size=limit)
        except dns.exception.TooBig:
            short = dns.message.make_response(asked)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _fill(self, answer: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        zone = self._zone
        for _ in range(MAX_CNAMES):
            alias = zone.get_rrset(name, dns.rdatatype.CNAME)
            found = zone.get_rrset(name, kind)
            if found is None and alias is not None:
                answer.answer.append(_absolute(alias))
                name = alias[0].target
                continue
            if found is not None:
                answer.answer.append(_absolute(found))
            elif zone.get_node(name) is None and not self._is_above(name):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            break
        if not answer.answer:
            authority = zone.get_rrset(_ORIGIN, dns.rdatatype.SOA)
            if authority is not None:
                answer.authority.append(_absolute(authority))

    def _is_above(self, name: dns.name.Name) -> bool:
        """A name that exists because something below it does, such as _tcp (RFC 8020)."""
        return any(owner.derelativize(_ORIGIN).is_subdomain(name) for owner in self._zone.nodes)


def _absolute(found: dns.rrset.RRset) -> dns.rrset.RRset:
    """The set with full names, as they go on the wire."""
    name = found.name.derelativize(_ORIGIN)
    made = dns.rrset.RRset(name, found.rdclass, found.rdtype)
    made.update_ttl(found.ttl)
    for record in found:
        made.add(record)
    return made


def read_zone(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, origin=f"{DOMAIN}.", relativize=False)


def main() -> None:
    server = NameServer(read_zone(Path(sys.argv[1]).read_text()))
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    selector = selectors.DefaultSelector()
    for opened in (datagrams, listener):
        opened.bind(("::", 53))
        opened.setblocking(False)
        selector.register(opened, selectors.EVENT_READ)
    listener.listen()
    print("ready", flush=True)
    unread: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in selector.select():
            with contextlib.suppress(OSError):
                if key.fileobj is datagrams:
                    _serve_datagram(server, datagrams)
                elif key.fileobj is listener:
                    _accept(listener, selector, unread)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    _serve_connection(server, key.fileobj, selector, unread)


def _serve_datagram(server: NameServer, opened: socket.socket) -> None:
    query, source = opened.recvfrom(4096)
    answer = server.answer(query, 512)
    if answer is not None:
        opened.sendto(answer, source)


def _accept(
    listener: socket.socket, selector: selectors.BaseSelector, unread: dict[socket.socket, bytes]
) -> None:
    connection, _ = listener.accept()
    if len(unread) >= MAX_CONNECTIONS:
        connection.close()
        return
    connection.settimeout(1)
    unread[connection] = b""
    selector.register(connection, selectors.EVENT_READ)


def _serve_connection(
    server: NameServer,
    connection: socket.socket,
    selector: selectors.BaseSelector,
    unread: dict[socket.socket, bytes],
) -> None:
    """Two octets of length before each message (RFC 1035 section 4.2.2)."""
    try:
        data = connection.recv(4096)
    except OSError:
        data = b""
    if not data:
        selector.unregister(connection)
        del unread[connection]
        connection.close()
        return
    waiting = unread[connection] + data
    while len(waiting) >= 2:
        length = int.from_bytes(waiting[:2], "big")
        if len(waiting) < 2 + length:
            break
        answer = server.answer(waiting[2 : 2 + length])
        waiting = waiting[2 + length :]
        if answer is not None:
            connection.sendall(struct.pack("!H", len(answer)) + answer)
    unread[connection] = waiting


if __name__ == "__main__":
    main()
