"""What the captures say about the secrecy of a call: is any media in the clear, and did the keys stay the same?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.measures import Delivery, Sighting, main_ssrc, ssrc_of

_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
}
WINDOW = 32_000  # packets: what a capture holds of one stream is in order but for reordering on the way


def verdict(
    folder: Path,
    uplink: Sequence[Delivery],
    downlink: Sequence[Delivery],
    sent: dict[str, list[Sighting]],
    up: dict[str, Any],
) -> dict[str, Any]:
    """`clear_rtp_packets`: packets of the two streams that libsrtp does not open with the keys of the first exchange.
    `keys_changed`: whether it needed others for any. Without keys (a call in the clear) every packet is clear."""
    keys_file = folder / "phones" / "mn.keys"
    streams = {host: _genuine(sightings) for host, sightings in sent.items()}
    total = sum(len(stream) for stream in streams.values())
    verification = up.get("verification", {})
    said = {
        "authenticated_peer": verification.get("peer") or "",
        "assurance": verification.get("assurance", ""),
        "media_packets": total,
        "attacks": attacks(folder),
    }
    if not keys_file.exists():
        return {"clear_rtp_packets": total, "keys_changed": None, **said}
    keys = json.loads(keys_file.read_text())
    refused = sum(
        _refused(streams[host], keys["suite"], keys[side])
        for host, side in (("mn", "local"), ("cn", "remote"))
    )
    lost = sum(d.received_at is None for d in (*uplink, *downlink))
    return {"clear_rtp_packets": refused, "keys_changed": refused > 0, "lost_on_the_way": lost, **said}


def attacks(folder: Path) -> list[dict[str, Any]]:
    """What the judgement of the attacks left, if there were any."""
    path = folder / "attacks.json"
    listed: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return listed


def _genuine(sightings: Sequence[Sighting]) -> list[bytes]:
    """The packets of a host's own stream, each once, in the order in which they left."""
    ssrc = main_ssrc(sightings)
    once = dict.fromkeys(s.octets for s in sorted(sightings) if ssrc_of(s.octets) == ssrc)
    return list(once)


def _refused(stream: Sequence[bytes], suite: str, key: dict[str, str]) -> int:
    """How many packets libsrtp does not open, in one pass over the whole stream with one key."""
    try:
        import pylibsrtp
    except ImportError:
        raise LocalError(
            "libsrtp, which judges the captures, is not installed", "pip install 'segue[test]'"
        ) from None
    if suite not in _PROFILES:
        from segue.lab.own_srtp import refused

        return refused(stream, suite, key)
    policy = pylibsrtp.Policy(
        key=bytes.fromhex(key["key"]) + bytes.fromhex(key["salt"]),
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
        srtp_profile=getattr(pylibsrtp.Policy, _PROFILES[suite]),
    )
    policy.window_size = WINDOW
    session = pylibsrtp.Session(policy=policy)
    count = 0
    for packet in stream:
        try:
            session.unprotect(packet)
        except pylibsrtp.Error:
            count += 1
    return count
