"""DNS messages, by dnspython. Importing this module takes some 40 ms: `dns` does it with the first question."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.OPT import OPT
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from segue.net.dns_records import Naptr, Record, Srv

PAYLOAD = 1232  # octets of an answer over UDP: never fragmented (RFC 9715)
RECORDS = 64  # of one answer
# The types an answer has are imported with this module: dnspython would do it while the answer waits.
EXPECTED = (A, AAAA, NAPTR, SRV, SOA, CNAME, OPT)


class Question:
    """A question's octets, and the judge of its answers. Raises ValueError when `name` is no domain name."""

    __slots__ = ("_message", "octets")

    def __init__(self, name: str, kind: str) -> None:
        identifier = int.from_bytes(os.urandom(2), "big")
        try:
            self._message = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD, id=identifier)
            self.octets = self._message.to_wire()
        except dns.exception.DNSException as error:
            raise ValueError(str(error)) from None

    def read(self, octets: bytes) -> Answer | None:
        """None when these are no DNS message, or no answer to this question."""
        try:
            message = dns.message.from_wire(octets, ignore_trailing=True)
            if not isinstance(message, dns.message.QueryMessage) or not self._message.is_response(message):
                return None
            if message.flags & dns.flags.TC:
                return Answer([], 0.0, truncated=True)
            if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return Answer([], 0.0, failure=dns.rcode.to_text(message.rcode()).lower())
            chain = message.resolve_chaining()
            rdatas = list(chain.answer)[:RECORDS] if chain.answer is not None else []
            records = [record for rdata in rdatas if (record := _record(rdata)) is not None]
            return Answer(records, float(chain.minimum_ttl))
        except (dns.exception.DNSException, ValueError, IndexError, KeyError, struct.error):
            return None


class Answer(NamedTuple):
    """`ttl` in seconds, also of "there is none"; `failure`: a response code in lower case, such as "servfail"."""

    records: list[Record]
    ttl: float
    truncated: bool = False
    failure: str = ""


def _record(rdata: dns.rdata.Rdata) -> Record | None:
    if isinstance(rdata, (A, AAAA)):
        return str(rdata.address)
    if isinstance(rdata, SRV):
        target = rdata.target.to_text(omit_final_dot=rdata.target.to_text() != ".")
        return Srv(rdata.priority, rdata.weight, rdata.port, target)
    if isinstance(rdata, NAPTR):
        flags, service = (text.decode("ascii", "replace") for text in (rdata.flags, rdata.service))
        replacement = rdata.replacement.to_text(omit_final_dot=True)
        return Naptr(rdata.order, rdata.preference, flags, service, replacement)
    return None
