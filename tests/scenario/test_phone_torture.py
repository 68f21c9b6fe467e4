"""Every message of RFC 4475 and RFC 5118 at a phone that runs: what it answers, and that it still takes a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.call import events as say
from segue.call.config import MediaConfig
from segue.phone.config import Account, PhoneConfig
from segue.protocols.sip.parser import MalformedMessage, parse_message
from segue.protocols.sip.syntax import SipSyntaxError
from segue.protocols.sip.uri import SipUri
from segue.testing.phones import Street, phone_config

VECTORS = Path(__file__).parents[1] / "vectors"
FILES = sorted([*(VECTORS / "rfc4475").glob("*.dat"), *(VECTORS / "rfc5118").glob("*.dat")])
RINGS = 180
# What a phone says to each request; REGISTER is not for phones, and what came to one malformed is refused as such.
STATUS = {
    "badaspec": 400, "badbranch": 200, "baddate": RINGS, "baddn": 400, "badinv01": 400, "badvers": 505, "bext01": 420,
    "clerr": 400, "cparam01": 405, "cparam02": 405, "dblreq": 405, "esc01": RINGS, "esc02": 405, "escnull": 405,
    "escruri": 400, "insuf": 400, "intmeth": 405, "inv2543": RINGS, "invut": 415, "longreq": RINGS, "ltgtruri": 400,
    "lwsdisp": 200, "lwsruri": 400, "lwsstart": 400, "mcl01": 400, "mismatch01": 400, "mismatch02": 400,
    "mpart01": 405, "multi01": 400, "ncl": 400, "novelsc": 416, "quotbal": 400, "regaut01": 405, "regbadct": 405,
    "regescrt": 405, "scalar02": 400, "sdp01": 406, "semiuri": 200, "transports": 200, "trws": 400, "unkscm": 416,
    "unksm2": 405, "wsinv": 481, "zeromf": 200,
    "ipv4-mapped-ipv6": 488, "ipv6-bad": 400, "ipv6-bug-abnf-3-colons": 200, "ipv6-correct-abnf-2-colons": 200,
    "ipv6-good": 405, "ipv6-in-sdp": 488, "mult-ip-in-header": 481, "mult-ip-in-sdp": RINGS, "port-ambiguous": 405,
    "port-unambiguous": 405, "via-received-param-no-delim": 200, "via-received-param-with-delim": 481,
}  # fmt: skip


def user_of(octets: bytes) -> str:
    """Whose phone the message would reach."""
    try:
        return SipUri.parse(octets.split(b" ", 2)[1].decode()).user or "bob"
    except (SipSyntaxError, IndexError, UnicodeDecodeError):
        return "bob"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message(path: Path) -> None:
    octets = path.read_bytes()
    config = PhoneConfig(
        Account(f"sip:{user_of(octets)}@example.org", register=False), MediaConfig(keying="none")
    )
    s = Street(phone_config("alice", keying="none"), config, transport="UDP")
    a, b = s.phones
    a.join("wlan0", "192.0.2.1")
    b.join("wlan0", "192.0.2.2")
    s.run(0.1)
    try:
        b.agent.receive(parse_message(octets), b.flows[-1], s.now)
    except MalformedMessage as fault:
        b.agent.receive_malformed(fault, b.flows[-1])
    s.drain()
    statuses = {int(m.start.split(" ")[1]) for m in s.messages if m.start.startswith("SIP/2.0")}
    assert statuses == ({STATUS[path.stem]} if path.stem in STATUS else set())
    assert bool(b.said(say.IncomingCall)) == (STATUS.get(path.stem) == RINGS)
    a.agent.call(f"sip:{user_of(octets)}@example.org", s.now)
    s.run(1)
    assert a.said(say.Ringing), "the phone does not ring any more"
