"""A fuzz target for each parser and for the machines behind them, in one table.

A target takes octets and returns; it gives a value or the documented error, and any other exception is a defect. Each
fits a coverage-guided fuzzer as it is. `python tests/fuzz/run.py NAME` runs one, `test_fuzz_targets.py` all, shortly.
"""

from __future__ import annotations

import importlib
import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import NamedTuple

import click
import dns.message

from segue.base.address import Address
from segue.base.address import Path as BasePath
from segue.base.errors import LocalError, RemoteError
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.extensions import parse_extensions, parse_wait
from segue.call.feedback import Feedback
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.call.repair import Repair
from segue.cli.option_file import table_of
from segue.cli.phone_options import read_config
from segue.cli.server import configuration
from segue.devices.wav_format import header
from segue.devices.wav_source import WavSource
from segue.lab.measure.capture import CaptureWriter, read_capture
from segue.lab.measure.packets import parse_frame
from segue.lab.networks.name_server import NameServer, read_zone, zone_text
from segue.lab.networks.topology import OFFICE_TO_CAFE
from segue.mobility.attach import AttachConfig, InterfaceAttachment
from segue.mobility.service import signal_of
from segue.net.certificate_names import certificate_names, is_current
from segue.net.dns_wire import Question
from segue.net.name_files import read_hosts, system_servers
from segue.net.netlink import NetlinkReader
from segue.phone.config import Account, PhoneConfig
from segue.phone.wire import FrameReader, SoundMessage, plain, revive, write_message, write_sound
from segue.protocols.demux import Kind, sort
from segue.protocols.dhcp.arp import parse_arp, write_probe
from segue.protocols.dhcp.datagram import parse_datagram
from segue.protocols.dhcp.messages import parse_message as parse_dhcp
from segue.protocols.nd.messages import parse_message as parse_nd
from segue.protocols.nd.proxy_advertisement import (
    NearbyRouter,
    ProxyAdvertisement,
    parse_proxy_message,
    write_proxy_advertisement,
)
from segue.protocols.rtcp.packets import GenericNack, parse_rtcp, write_rtcp
from segue.protocols.rtcp.resume import Resume, write_resume
from segue.protocols.rtcp.session import RtcpSession
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.rtp.telephone_event import DtmfReceiver, parse_telephone_events
from segue.protocols.sdes import parse_crypto, write_crypto
from segue.protocols.sdp import (
    fmtps_of,
    ice_of,
    maxptime_of,
    opus_parameters,
    parse_candidate,
    parse_remote_candidates,
    parse_sdp,
    ptime_of,
    rtcp_feedback_of,
    rtcp_of,
    rtpmaps_of,
    write_candidate,
    write_ice,
    write_sdp,
)
from segue.protocols.sdp.trickle_fragment import parse_fragment
from segue.protocols.sip.digest import DigestClient, DigestServer
from segue.protocols.sip.field_values import CSeq, NameAddr, Via, parse_uri
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.framing import StreamReader
from segue.protocols.sip.invite_sessions import parse_replaces
from segue.protocols.sip.message import Headers, Request, Response, response_to
from segue.protocols.sip.parser import check, parse_message
from segue.protocols.sip.reliable import parse_rack
from segue.protocols.sip.response_route import reply_flow, stamp_via
from segue.protocols.sip.syntax import parse_parameters, write_parameters
from segue.protocols.sip.transaction_events import RequestReceived
from segue.protocols.sip.transaction_layer import TransactionLayer
from segue.protocols.sip.uri import SipUri
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.protocols.stun.attributes import (
    DATA,
    LIFETIME,
    NONCE,
    REALM,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from segue.protocols.stun.binding import binding_request, binding_response, mapped_address
from segue.protocols.stun.credentials import LongTermCredentials
from segue.protocols.stun.message import Class as StunClass
from segue.protocols.stun.message import (
    Method,
    StunMessage,
    error_response,
    is_stun,
    parse_stun,
    success_response,
)
from segue.protocols.turn.channel_data import TurnStream
from segue.protocols.turn.client import TurnClient
from segue.protocols.turn.uri import parse_server_uri
from segue.server.config import ServerConfig
from segue.server.core import ServerCore
from segue.testing.certificates import make_ca, make_certificate
from segue.testing.entropy import SeededEntropy
from segue.testing.ice_ends import IceEnd, IceNetwork, port, signed, talking
from segue.testing.phones import Street, phone_config

VECTORS = Path(__file__).parents[1] / "vectors"
HERE, THERE = Address("192.0.2.1", 5060), Address("198.51.100.7", 4000)
UDP, TCP = Flow("UDP", HERE, THERE), Flow("TCP", HERE, THERE, serial=1)
IDENTIFIER = b"twelve bytes"


ROUTER = IPv6Address("fe80::1")


@contextmanager
def documented() -> Iterator[None]:
    """The errors that a parser may raise."""
    try:
        yield
    except (RemoteError, LocalError):
        pass


def text(data: bytes) -> str:
    """As the parser of SIP makes text of octets."""
    return data.decode("utf-8", "surrogateescape")


# SIP


def sip_message(data: bytes) -> None:
    with documented():
        message = parse_message(data)
        for read in ("vias", "contacts", "routes", "record_routes", "supported", "require", "content_type"):
            with documented():
                getattr(message, read)
        check(message)
        again = parse_message(message.to_bytes())
        for each in (message, again):
            each.headers.remove("Content-Length")
        assert again.headers.items() == message.headers.items()
        if isinstance(message, Request):
            with documented():
                reply_flow(stamp_via(message, UDP), UDP)
                parse_message(response_to(message, 200, to_tag="x").to_bytes())


def sip_stream(data: bytes) -> None:
    for step in (1, 7, len(data) or 1):
        reader = StreamReader()
        for at in range(0, len(data), step):
            reader.receive(data[at : at + step])


def sip_uri(data: bytes) -> None:
    with documented():
        uri = SipUri.parse(text(data))
        assert SipUri.parse(str(uri)) == uri and uri.equivalent(uri)
        assert uri.address_of_record.startswith("sip:")
    with documented():
        parse_uri(text(data))


def sip_field_values(data: bytes) -> None:
    value = text(data)
    for read in (CSeq.parse, Via.parse, NameAddr.parse):
        with documented():
            assert read(str(read(value))) == read(value)
    with documented():
        parse_parameters(write_parameters(parse_parameters(value)))
    for other in (parse_rack, parse_replaces, Headers([("Supported", value)]).words):
        with documented():
            other(value if other in (parse_rack, parse_replaces) else "Supported")


def sip_digest(data: bytes) -> None:
    """As a challenge to a client, and as credentials to a server."""
    client = DigestClient("alice", Secret("sesame"), SeededEntropy(1), "example.org")
    for name in ("WWW-Authenticate", "Proxy-Authenticate"):
        request = Request("REGISTER", "sip:example.org", Headers())
        response = Response(401, "", Headers([(name, text(data))]))
        client.accept(request, response)
        client.prepare(request)
        client.accept(request, response)
        request.to_bytes()
    server = DigestServer("example.org", Secret("k" * 32), SeededEntropy(2))
    values = [text(data), server.challenge(1.0)[0] + ", " + text(data)]
    assert (
        server.verify(values, "REGISTER", "sip:example.org", lambda _user, _algorithm: None, 1.0).user is None
    )


def sip_transactions(data: bytes) -> None:
    """Requests and responses that may or may not be of transactions that exist."""
    layer = TransactionLayer(SeededEntropy(1))
    invite = parse_message(SIP[0])
    assert isinstance(invite, Request)
    for flow in (UDP, TCP):
        layer.send_request(invite.copy(), flow, 1.0)
    layer.receive(invite, UDP, 1.0)
    with documented():
        message = parse_message(data)
        check(message)
        for now in (1.0, 1.1):
            layer.receive(message, UDP, now)
    for event in layer.events():
        if isinstance(event, RequestReceived):
            layer.respond(event.transaction, response_to(event.request, 486), 1.2)
    while (due := layer.deadline()) is not None and due < 300:
        layer.expire(due)
    layer.transmits()
    assert len(layer) == 0


@cache
def _office() -> ServerConfig:
    from segue.server.config import Listen, Policy

    listens = (Listen("UDP", HERE), Listen("TCP", HERE))
    return ServerConfig("example.org", listens, ":memory:", policy=Policy(strangers=True, requests_rate=0.0))


def server(data: bytes) -> None:
    core = ServerCore(_office(), {}, Secret(b"k"), SeededEntropy(1))
    core.opened(TCP, 1000.0)
    core.receive(data, UDP, 1000.0)
    core.receive(data, TCP, 1000.0)
    core.transmits()


def phone(data: bytes) -> None:
    """To a phone in a call: whatever comes, the call is as it was, or over for a reason it can tell."""
    street = Street(phone_config("alice"), phone_config("bob"), delay=0.001)
    street.meet(answer=False)
    bob = street.phones[1]
    street.inject_sip(bob, data)
    street.run(0.1)
    assert bob.call.state.value == "ringing in" or bob.ended_calls


# SDP and keys


def sdp(data: bytes) -> None:
    with documented():
        description = parse_sdp(data)
        for media in description.media:
            for read in (rtpmaps_of, ptime_of, maxptime_of, rtcp_of, rtcp_feedback_of):
                with documented():
                    read(media)
            with documented():
                for parameters in fmtps_of(media).values():
                    opus_parameters(parameters)
        if description.connection is not None:
            assert parse_sdp(write_sdp(description)) == description
    with documented():
        parse_fragment(data)
    parse_extensions(text(data))
    parse_wait(text(data))


def sdes_crypto(data: bytes) -> None:
    with documented():
        attribute = parse_crypto(text(data))
        assert parse_crypto(write_crypto(attribute)) == attribute


def negotiation(data: bytes) -> None:
    """A body as first offer, as re-offer in a call that is up, and as answer."""
    here = LocalMedia(Address("192.0.2.1", 40000))
    for name in ("sdes", "none"):
        config, entropy = MediaConfig(keying=name), SeededEntropy(1)
        keying = Keying(config, entropy)
        ours = Negotiation(config, keying.to_offer(True), entropy)
        peer = Negotiation(config, Keying(config, SeededEntropy(2)).to_offer(True), SeededEntropy(2))
        with refused_by_status():
            parse_sdp(ours.receive_offer(data, here, 0.0))
        fresh = Negotiation(config, keying.to_answer(True), entropy)
        peer.receive_answer(fresh.receive_offer(peer.make_offer(here, 0.0), here, 0.0), 0.0)
        up = fresh.agreement
        with refused_by_status():
            fresh.receive_offer(data, here, 1.0)
        with refused_by_status():
            peer.receive_answer(data, 1.0)
        assert up is not None and fresh.agreement is not None
        assert fresh.agreement.secure == up.secure


@contextmanager
def refused_by_status() -> Iterator[None]:
    try:
        yield
    except RemoteError as error:
        assert error.status in (400, 488)


# Media and its path


def demux(data: bytes) -> None:
    assert isinstance(sort(data), Kind)


@cache
def _ice() -> tuple[IceNetwork, IceEnd]:
    network = IceNetwork()
    return network, talking(network)[1]


def ice_agent(data: bytes) -> None:
    """A check or an answer in the middle of a call, as it comes and with the right integrity. The agent stays the
    same, so that what came before counts too."""
    network, end = _ice()
    local = end.ports[0].address
    for octets in (data, signed(data, end.agent.credentials.password)):
        for source in (Address("192.0.2.1", 4000), Address("203.0.113.9", 1 + len(data))):
            end.agent.receive(octets, BasePath("198.51.100.2", local, source), network.now)
        network.now += 0.05
        end.agent.expire(network.now)
        end.agent.transmits()
        end.agent.events()


def sdp_ice(data: bytes) -> None:
    value = text(data)
    parse_remote_candidates(value)
    candidate = parse_candidate(value)
    assert candidate is None or parse_candidate(write_candidate(candidate)) is not None
    with documented():
        description = parse_sdp(data)
        for media in description.media:
            with documented():
                ice = ice_of(description, media)
                assert ice is None or write_ice(ice)


def stun(data: bytes) -> None:
    with documented():
        message = parse_stun(data)
        assert parse_stun(message.write(fingerprint=True)).attributes == message.attributes
        answer = parse_stun(binding_response(message, THERE).write(Secret("k")))
        assert answer.verify(Secret("k")) and not message.verify(Secret("k"))
        credentials = LongTermCredentials("alice", Secret("sesame"))
        if credentials.challenged(message):
            parse_stun(credentials.write(binding_request(IDENTIFIER)))
        credentials.accepts(message)
        mapped_address(message)


def server_uri(data: bytes) -> None:
    with documented():
        uri = parse_server_uri(text(data))
        assert parse_server_uri(str(uri)) == uri and 0 < uri.usual_port < 65536


def turn(data: bytes) -> None:
    """To a client that waits for its allocation, and to one that has it; as datagrams and as a stream."""
    for answers in (TURN[:1], TURN[:2]):
        client = TurnClient(
            TURN_PATH, LongTermCredentials("alice", Secret("sesame")), SeededEntropy(1), 0.0, mobility=False
        )
        for answer in answers:
            client.receive(answer, TURN_PATH, 0.0)
        client.permit([THERE.host], 0.0)
        client.transmits()
        if client.unwrap(data) is None:
            client.receive(data, TURN_PATH, 0.1)
        client.send(THERE, data, 0.2)
        while (due := client.deadline()) is not None and due < 100:
            client.expire(due)
        client.transmits()
    with documented():
        for message in TurnStream().receive(data):
            assert message in data


def rtp(data: bytes) -> None:
    with documented():
        packet = parse_rtp(data)
        assert parse_rtp(packet.to_bytes()) == packet
        DtmfReceiver().receive(packet.payload, packet.timestamp)
    with documented():
        parse_telephone_events(data)


def rtcp(data: bytes) -> None:
    with documented():
        packets = parse_rtcp(data)
        RtcpSession(1, "x", SeededEntropy(1), 0.0).receive(packets, 1.0)
        parse_rtcp(write_rtcp(packets))


def rtcp_feedback(data: bytes) -> None:
    """What a peer asks for: whatever it is, no more leaves than was sent, and what leaves is what was sent."""
    session = RtcpSession(1, "x", SeededEntropy(1), 0.0)
    repair = Repair(session, 3.0)
    repair.use(Feedback(answers=True, asks=True, resumes=True, peer_waits=3.0))
    sent = [RtpPacket(8, False, number, 0, 1, b"x" * 20).to_bytes() for number in range(50)]
    for number, packet in enumerate(sent):
        assert repair.out(packet, 0.02, number * 0.02) == packet
    with documented():
        session.receive(parse_rtcp(data), 1.0)
        for event in session.events():
            repair.take(event, 1.0)
    late = [packet for tick in range(100) for packet in repair.late(1.0 + tick * 0.02, bool)]
    assert len(late) == len(set(late)) and set(late) <= set(sent)


@cache
def _sealed(suite: Suite) -> tuple[MasterKey, bytes]:
    key = MasterKey(Secret(bytes(suite.key_length)), Secret(bytes(suite.salt_length)))
    return key, SrtpSender(suite, key).protect(RtpPacket(0, False, 1, 1, 9, b"x" * 20).to_bytes())


def srtp(data: bytes) -> None:
    """Nothing is accepted that was not sealed."""
    for suite in (Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_128_GCM):
        key, known = _sealed(suite)
        receiver = SrtpReceiver(suite, [key])
        if data != known:
            assert receiver.unprotect(data) is None
        assert receiver.unprotect_rtcp(data) is None


# Attaching to networks, names


def neighbour_discovery(data: bytes) -> None:
    with documented():
        parse_nd(data)
    with documented():
        message, _ = parse_proxy_message(data)
        if isinstance(message, ProxyAdvertisement):
            again = parse_proxy_message(write_proxy_advertisement(message, ROUTER, ROUTER))[0]
            assert again == message


def dhcp(data: bytes) -> None:
    with documented():
        parse_dhcp(parse_datagram(data).payload)
    with documented():
        parse_dhcp(data)
    with documented():
        parse_arp(data)


def attachment(data: bytes) -> None:
    machine = InterfaceAttachment("wlan0", bytes(6), AttachConfig(Secret(bytes(32))), SeededEntropy(1))
    machine.link_up(1.0)
    for kind in (b"\x86\xdd", b"\x08\0", b"\x08\x06"):
        machine.receive(bytes(12) + kind + data, None, 1.0)
    machine.receive(data, None, 1.0)


def dns_answer(data: bytes) -> None:
    Question("example.org", "SRV").read(data)


@cache
def _names() -> NameServer:
    return NameServer(read_zone(zone_text(OFFICE_TO_CAFE)))


def dns_query(data: bytes) -> None:
    answer = _names().answer(data, 512)
    assert answer is None or len(answer) <= 1232


def name_files(data: bytes) -> None:
    with on_disk(data) as path:
        read_hosts(path)
        system_servers(path)


def netlink(data: bytes) -> None:
    """Events of the kernel, in a whole datagram."""
    reader = _netlink()
    reader._names = {1: "lo", 2: "wlan0"}
    reader.read(data)


@cache
def _netlink() -> NetlinkReader:
    return NetlinkReader(neighbours=True)


def radio(data: bytes) -> None:
    signal_of(data)


def certificate(data: bytes) -> None:
    certificate_names(data)
    is_current(data, 1e9)


# What the lab reads, files of users, the wire between processes


def captured_frame(data: bytes) -> None:
    parse_frame(data)
    parse_frame(bytes(12) + b"\x08\0" + data)
    parse_frame(bytes(12) + b"\x86\xdd" + data)


def capture(data: bytes) -> None:
    with on_disk(data) as path, documented():
        for frame in read_capture(Path(path)):
            frame.packet()


def process_frames(data: bytes) -> None:
    with documented():
        for frame in FrameReader().receive(data):
            if isinstance(frame, dict):
                with documented():
                    revive(PhoneConfig, frame.get("config"))


def phone_file(data: bytes) -> None:
    """The TOML file of `segue call`."""
    with on_disk(data) as path, documented(), suppress(click.UsageError):
        words = ["bob", "--config", path, "--state-dir", str(Path(path).parent)]
        with _command("call").make_context("call", words) as context:
            read_config({name: value for name, value in context.params.items() if name != "uri"})


def server_file(data: bytes) -> None:
    """The TOML file of `segue server`."""
    with (
        on_disk(data) as path,
        documented(),
        suppress(click.UsageError),
        _command("server").make_context("server", ["--config", path]) as context,
    ):
        configuration(context.params, *table_of(context, "policy"))


def _command(name: str) -> click.Command:
    """`segue NAME`; its file is judged as it is read."""
    command: click.Command = importlib.import_module(f"segue.cli.{name}").command
    return command


def wav(data: bytes) -> None:
    with documented():
        source = WavSource(io.BytesIO(data), "x.wav", 8000, False)
        source.read()
        source.close()


@contextmanager
def on_disk(data: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name


# Seeds: what is known to be fine

SIP = [
    path.read_bytes()
    for folder in ("rfc4475", "rfc5118")
    for path in sorted((VECTORS / folder).glob("*.dat"))
]
SIP.insert(
    0,
    b"INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:4000;rport;branch=z9hG4bK1\r\n"
    b'From: "A" <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n'
    b"Max-Forwards: 70\r\nContact: <sip:alice@198.51.100.7>\r\nSupported: 100rel\r\nContent-Length: 0\r\n\r\n",
)
FRAGMENT = (
    b"a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n"
    b"a=candidate:1 1 UDP 2130706431 192.0.2.1 5010 typ host\r\na=end-of-candidates\r\n"
)
SDP = [path.read_bytes() for path in sorted(VECTORS.glob("*.sdp"))]
VALUES = [
    value.encode("utf-8", "surrogateescape")
    for octets in SIP[:20]
    for value in octets.decode("utf-8", "surrogateescape").split("\r\n")
]
CHALLENGE = (
    b'Digest realm="example.org", nonce="7ypf/xlj9XXw", algorithm=SHA-256, qop="auth", opaque="x", stale=true'
)
CREDENTIALS = (
    b'Digest username="bob", realm="example.org", nonce="a.b.c", uri="sip:example.org", response="0f", nc=00000001, '
    b'cnonce="x", qop=auth'
)
RTP = b"\x90\x80\0\1\0\0\0\1\0\0\0\2\xbe\xde\0\1\x10\xff\0\0" + b"\x0b\x8a\x03\x20" * 2
RTCP = (
    bytes.fromhex("81c8000c000000010000000200000003000000040000000500000006")
    + bytes(24)
    + bytes.fromhex("81ca0003000000010103616263000000")
)
FEEDBACK = [
    write_rtcp([GenericNack(2, 1, (3, 4, 20, 49))]),
    write_rtcp([write_resume(2, Resume(1, 10, 3.0)), GenericNack(2, 1, (5,))]),
]
NEARBY = write_proxy_advertisement(
    ProxyAdvertisement(
        7,
        (
            NearbyRouter(
                "cafe",
                bytes(6),
                ROUTER,
                IPv6Network("2001:db8:3::/64"),
                (IPv6Address("2001:db8:3::7"),),
            ),
        ),
    ),
    ROUTER,
    ROUTER,
)
ND = (
    bytes.fromhex("6000000000103afffe800000000000000000000000000001ff020000000000000000000000000001")
    + bytes.fromhex("8600000040000708000000000000000001010203040506070304404000000e100000038400000000")
    + bytes(16)
)
LEASE = (
    bytes([2, 1, 6, 0]) + bytes(232) + bytes.fromhex("63825363350105330400000e1036040a000001030401020304ff")
)
CONFIG = PhoneConfig(Account("sip:alice@example.org"))


def _netlink_message(kind: int, body: bytes) -> bytes:
    return struct.pack("IHHII", 16 + len(body), kind, 0, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


NETLINK = [
    _netlink_message(16, struct.pack("BxHiII", 0, 1, 2, 0x11043, 0) + _attribute(3, b"wlan0\0")),
    _netlink_message(20, struct.pack("BBBBI", 10, 64, 0, 0, 2) + _attribute(1, bytes(16))),
    _netlink_message(
        24,
        struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0)
        + _attribute(4, struct.pack("I", 2))
        + _attribute(5, bytes(4))
        + _attribute(9, struct.pack("HBBi", 16, 0, 0, 2) + _attribute(5, bytes(4))),
    ),
    _netlink_message(
        28, struct.pack("BxxxiHBB", 2, 2, 2, 0, 1) + _attribute(1, bytes(4)) + _attribute(2, bytes(6))
    ),
]


def _certificate() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        uris = ["sip:example.org", "sip:bob@example.org"]
        return make_certificate(make_ca(Path(folder)), uris=uris, names=["example.org"]).der


def _pcapng() -> bytes:
    file = io.BytesIO()
    writer = CaptureWriter(file, "mn wlan0")
    writer.write(bytes(12) + b"\x86\xdd" + ND, 1, True)
    writer.write(bytes(60), 2, False)
    return file.getvalue()


STUN = [
    bytes.fromhex((VECTORS / name).read_text())
    for name in ("rfc5769_2.1.hex", "rfc5769_2.2.hex", "rfc5769_2.3.hex", "rfc5769_2.4.hex", "rfc8489_b1.hex")
]
STUN.append(  # a challenge with both password algorithms
    bytes.fromhex("0111 0054 2112a442") + IDENTIFIER + bytes.fromhex("0009 0010 00000401") + b"Unauthorized"
    + bytes.fromhex("0014 000b") + b"example.org\0" + bytes.fromhex("0015 0011") + b"obMatJos2wAAA1234\0\0\0"
    + bytes.fromhex("8002 0008 0002000000010000")
)  # fmt: skip


def _turn_answers() -> list[bytes]:
    """A challenge, a grant, and data, as answers to the client's first requests."""
    credentials = LongTermCredentials("alice", Secret("sesame"))
    client = TurnClient(TURN_PATH, credentials, SeededEntropy(1), 0.0, mobility=False)
    first = parse_stun(client.transmits()[0][1])
    challenge = error_response(first, 401).add(REALM, "example.org").add(NONCE, b"nonce").write()
    client.receive(challenge, TURN_PATH, 0.0)
    second = parse_stun(client.transmits()[0][1])
    granted = success_response(second).add(XOR_RELAYED_ADDRESS, THERE).add(XOR_MAPPED_ADDRESS, HERE)
    data = StunMessage(StunClass.INDICATION, Method.DATA, IDENTIFIER)
    data.add(XOR_PEER_ADDRESS, THERE).add(DATA, b"voice")
    return [challenge, granted.add(LIFETIME, 600).write(credentials.key), data.write(), b"\x40\0\0\4data"]


TURN_PATH = BasePath("wlan0", HERE, THERE)
TURN = _turn_answers()


class Target(NamedTuple):
    """`splices`: what is spliced into seeds besides the usual."""

    run: Callable[[bytes], None]
    seeds: list[bytes]


def _ice_checks() -> list[bytes]:
    """Genuine ones, a move's among them."""
    network = IceNetwork()
    mover, _ = talking(network)
    mover.move(port("203.0.113.7"))
    network.pass_time(0.5)
    return [seen.octets for seen in network.seen if is_stun(seen.octets)]


TARGETS: dict[str, Target] = {
    "sip_message": Target(sip_message, SIP),
    "sip_stream": Target(sip_stream, [SIP[0] + b"\r\n\r\n" + SIP[1], *SIP[:10]]),
    "sip_uri": Target(
        sip_uri,
        [b"sip:bob:pw@[2001:db8::1]:5060;transport=tcp;lr?x=y", b"sips:a%40b@example.org;gr=u", b"tel:+1"],
    ),
    "sip_field_values": Target(
        sip_field_values, [line.partition(b":")[2].strip() or line for line in VALUES]
    ),
    "sip_digest": Target(sip_digest, [CHALLENGE, CREDENTIALS]),
    "sip_transactions": Target(sip_transactions, SIP),
    "server": Target(server, SIP),
    "phone": Target(phone, SIP[:3]),
    "sdp": Target(sdp, [*SDP, FRAGMENT]),
    "sdes_crypto": Target(sdes_crypto, (VECTORS / "rfc4568_crypto.txt").read_bytes().splitlines()),
    "negotiation": Target(negotiation, SDP),
    "demux": Target(demux, [RTP, RTCP, STUN[0]]),
    "ice_agent": Target(ice_agent, _ice_checks()),
    "sdp_ice": Target(
        sdp_ice,
        [
            b"1 1 UDP 2130706431 192.0.2.1 8998 typ srflx raddr 203.0.113.141 rport 8998 generation 0",
            b"1 192.0.2.3 45664 2 2001:db8::1 45665",
            SDP[0] + b"a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-options:ice2 trickle\r\n"
            b"a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host\r\n",
        ],
    ),
    "stun": Target(stun, STUN),
    "turn": Target(turn, TURN),
    "server_uri": Target(
        server_uri, [b"turn:example.org:3478?transport=tcp", b"turns:[2001:db8::1]", b"stun:a"]
    ),
    "rtp": Target(rtp, [RTP]),
    "rtcp": Target(rtcp, [RTCP]),
    "rtcp_feedback": Target(rtcp_feedback, FEEDBACK),
    "srtp": Target(srtp, [_sealed(Suite.AES_CM_128_HMAC_SHA1_80)[1], _sealed(Suite.AEAD_AES_128_GCM)[1]]),
    "neighbour_discovery": Target(neighbour_discovery, [ND, NEARBY]),
    "dhcp": Target(dhcp, [LEASE, write_probe(bytes(6), IPv4Address("192.0.2.9"))]),
    "attachment": Target(attachment, [ND, LEASE]),
    "dns_answer": Target(
        dns_answer,
        [_names().answer(dns.message.make_query("_sips._tcp.example.org", "SRV").to_wire(), 512) or b""],
    ),
    "dns_query": Target(
        dns_query, [dns.message.make_query("_sips._tcp.example.org", "SRV", use_edns=True).to_wire()]
    ),
    "name_files": Target(
        name_files, [b"nameserver 192.0.2.1\nnameserver fe80::1%eth0\n# x\n127.0.0.1 localhost\n"]
    ),
    "netlink": Target(netlink, NETLINK),
    "radio": Target(radio, [b'{"interface": "wlan0", "dbm": -60}']),
    "certificate": Target(certificate, [_certificate()]),
    "captured_frame": Target(captured_frame, [bytes(12) + b"\x86\xdd" + ND]),
    "capture": Target(capture, [_pcapng()]),
    "process_frames": Target(
        process_frames,
        [
            write_message({"do": "start", "config": plain(CONFIG)}),
            write_sound(SoundMessage("x", 8000, 1.0, bytes(320))),
        ],
    ),
    "phone_file": Target(
        phone_file,
        [
            b'aor = "sip:a@example.org"\ncodec = ["PCMA"]\ntransport = "tls"\nlocal-port = 5060\n'
            b'suite = ["AEAD_AES_128_GCM"]\nfamily = "4"\n'
        ],
    ),
    "server_file": Target(
        server_file,
        [
            b'domain = "example.org"\nlisten = ["udp:192.0.2.1:5060"]\n[policy]\nmin_expires = 60\ndigest = ["MD5"]\n'
        ],
    ),
    "wav": Target(wav, [header(8000, 320) + bytes(320)]),
}
