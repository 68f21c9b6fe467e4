"""Names of the lab, asked from a host in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from segue.lab.networks.namespaces import can_make_namespaces
from segue.lab.networks.network import Network
from segue.lab.networks.topology import OFFICE_TO_CAFE

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not can_make_namespaces(), reason="no permission to make network namespaces"),
]

ASK = """
import json, socket, dns.resolver
resolver = dns.resolver.Resolver()
def ask(name, kind, tcp=False):
    try:
        return sorted(str(record) for record in resolver.resolve(name, kind, tcp=tcp))
    except dns.exception.DNSException as error:
        return type(error).__name__
print(json.dumps([
    ask("example.org", "NAPTR"), ask("_sips._tcp.example.org", "SRV"), ask("proxy.example.org", "AAAA"),
    ask("proxy.example.org", "A", True), ask("nobody.example.org", "A"), ask("_tcp.example.org", "A"),
    sorted({info[4][0] for info in socket.getaddrinfo("cn.example.org", 5060)}),
]))
"""


def test_the_proxy_is_found_from_the_domain(tmp_path: Path) -> None:
    with Network(OFFICE_TO_CAFE, folder=tmp_path) as network:
        output = network.hosts["cn"].run([sys.executable, "-c", ASK])
    naptr, srv, aaaa, a, nobody, above, cn = json.loads(output)
    assert naptr[0] == '10 10 "s" "SIPS+D2T" "" _sips._tcp.example.org.'
    assert len(naptr) == 3
    assert srv == ["10 10 5061 proxy.example.org."]
    assert (aaaa, a) == (["2001:db8:17::2"], ["198.18.17.2"])
    assert (nobody, above) == ("NXDOMAIN", "NoAnswer")
    assert cn == ["198.18.4.10", "2001:db8:4::10"]
