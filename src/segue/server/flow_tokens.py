"""Flow tokens: a flow's name in a Route, which nobody but us can make (RFC 5626 section 5.2)."""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from segue.base.address import Address
from segue.base.secret import Secret
from segue.protocols.sip.flow import Flow

_MAC = 10  # octets
LONGEST = 300  # characters


def write_token(flow: Flow, key: Secret) -> str:
    """Text that may be the user part of a URI."""
    local, remote = flow.local, flow.remote
    text = f"{flow.transport} {local.host} {local.port} {remote.host} {remote.port} {flow.serial}".encode()
    return urlsafe_b64encode(_mac(text, key) + text).decode().rstrip("=")


def read_token(token: str, key: Secret) -> Flow | None:
    """The flow of a token of ours; None for any other text."""
    if len(token) > LONGEST:
        return None
    try:
        octets = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    mac, text = octets[:_MAC], octets[_MAC:]
    if not hmac.compare_digest(mac, _mac(text, key)):
        return None
    transport, local_host, local_port, remote_host, remote_port, serial = text.decode().split(" ")
    local, remote = Address(local_host, int(local_port)), Address(remote_host, int(remote_port))
    return Flow(transport, local, remote, serial=int(serial))


def _mac(text: bytes, key: Secret) -> bytes:
    return hmac.digest(key.reveal(), b"flow token " + text, "sha256")[:_MAC]
