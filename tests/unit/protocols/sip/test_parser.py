"""What is no message is refused by MalformedMessage and nothing else; the torture vectors have the rest."""

from __future__ import annotations

import pytest

from segue.protocols.sip.parser import MalformedMessage, parse_message
from segue.protocols.sip.syntax import SipSyntaxError
from segue.protocols.sip.uri import SipUri


@pytest.mark.parametrize(
    "line",
    [f"SIP/2.0 {status}" for status in ("2x0 OK", "\udcff00 OK", "٢٠٠ OK", "099 OK", "700 No", "200")],
)
def test_a_bad_status_line_is_malformed(line: str) -> None:
    octets = f"{line}\r\nCall-ID: x\r\n\r\n".encode("utf-8", "surrogateescape")
    if line == "SIP/2.0 200":
        assert parse_message(octets).call_id == "x"  # without a reason phrase (RFC 4475 section 3.1.1.13)
        return
    with pytest.raises(MalformedMessage):
        parse_message(octets)


@pytest.mark.parametrize(
    "uri", ["sip:@example.org", "sip::secret@example.org", "sip:", "sip:a@", "sip:a@b@c:x"]
)
def test_uris_without_user_or_host_are_refused(uri: str) -> None:
    with pytest.raises(SipSyntaxError):
        SipUri.parse(uri)
