"""The lower half of an address."""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, IPv6Network

from segue.base.secret import Secret

_RESERVED_ANYCAST = range(0xFDFFFFFFFFFFFF80, 0xFDFFFFFFFFFFFFFF + 1)  # RFC 2526


def eui64(link_address: bytes) -> bytes:
    """The modified EUI-64 identifier of a 48-bit address (RFC 4291 appendix A)."""
    return bytes([link_address[0] ^ 2]) + link_address[1:3] + b"\xff\xfe" + link_address[3:]


def stable_opaque(
    prefix: IPv6Network, interface: str, network: str, key: Secret, dad_counter: int = 0
) -> bytes:
    """RFC 7217 section 5: the same on each visit to a network, unlinkable between networks.

    `network` is the network's name where there is one (SSID), `dad_counter` counts the duplicates met.
    """
    while True:
        seed = b"\0".join(
            (prefix.network_address.packed, interface.encode(), network.encode(), str(dad_counter).encode())
        )
        identifier = hashlib.blake2s(seed, key=key.reveal()[:32], digest_size=8).digest()
        number = int.from_bytes(identifier, "big")
        if number != 0 and number not in _RESERVED_ANYCAST:  # RFC 5453: reserved identifiers
            return identifier
        dad_counter += 1


def address_in(prefix: IPv6Network, identifier: bytes) -> IPv6Address:
    """RFC 4862 section 5.5.3 d: prefix and identifier must make 128 bits together."""
    return IPv6Address(prefix.network_address.packed[:8] + identifier)
