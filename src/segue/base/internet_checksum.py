"""The Internet checksum (RFC 1071), for IPv4, UDP and ICMPv6."""

from __future__ import annotations


def internet_checksum(octets: bytes) -> int:
    """One's complement of the one's complement sum of 16-bit words; an odd last octet is padded with zero.

    2**16 is 1 modulo 65535, so the sum of the words is the whole number modulo 65535 (RFC 1071 section 2).
    """
    number = int.from_bytes(octets, "big")
    if len(octets) % 2:
        number <<= 8
    remainder = number % 0xFFFF
    return 0xFFFF if number == 0 else (~(remainder or 0xFFFF)) & 0xFFFF


def verifies(octets: bytes) -> bool:
    """Whether octets that contain their own checksum sum up to all ones."""
    return internet_checksum(octets) == 0
