"""Whatever arrives at the lab's name server and at the attachment machine: no exception, no effect of garbage."""

from __future__ import annotations

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.secret import Secret
from segue.lab.networks.name_server import NameServer, read_zone, zone_text
from segue.lab.networks.topology import OFFICE_TO_CAFE
from segue.mobility.attach import AttachConfig, InterfaceAttachment, SetAddress
from segue.testing.entropy import SeededEntropy

SERVER = NameServer(read_zone(zone_text(OFFICE_TO_CAFE)))
QUERY = dns.message.make_query("_sips._tcp.example.org", "SRV", use_edns=True).to_wire()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_any_octets_to_the_name_server(octets: bytes) -> None:
    SERVER.answer(octets, 512)


@settings(max_examples=300, deadline=None)
@given(st.integers(2, len(QUERY) - 1), st.integers(0, 255))
def test_any_changed_query(place: int, octet: int) -> None:
    answer = SERVER.answer(QUERY[:place] + bytes([octet]) + QUERY[place + 1 :], 512)
    assert answer is None or len(answer) <= 1232


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"\x86\xdd", b"\x08\0", b"\x08\x06"]), st.binary(max_size=120))))
def test_any_frames_to_the_attachment_machine(frames: list[tuple[bytes, bytes]]) -> None:
    machine = InterfaceAttachment("wlan0", bytes(6), AttachConfig(Secret(bytes(32))), SeededEntropy(1))
    machine.link_up(1.0)
    for number, (kind, octets) in enumerate(frames):
        machine.receive(bytes(12) + kind + octets, None, 1.0 + number)
        machine.expire(1.0 + number)
    assert not [event for event in machine.events() if isinstance(event, SetAddress)]
