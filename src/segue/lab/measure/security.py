"""What the captures say about the secrecy of a call: is any media in the clear, and did the keys stay the same?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.base.errors import LocalError
from segue.lab.measure.measures import Delivery, Sighting

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
    *,
    reports: dict[str, list[Sighting]] | None = None,
    keyed: bool = True,
) -> dict[str, Any]:
    """`keys_changed`: whether libsrtp opens all that both hosts `sent`, of every source, with the keys of the first
    exchange. `clear_rtp_packets`: those that it does not open with the keys of any; `clear_rtcp_packets`: the same
    of their `reports`. Without keys every packet is clear, unless the call was `keyed` between phones that do not
    tell: then it is not known."""
    exchanges = _exchanges(folder / "phones")
    streams = {host: _genuine(sightings) for host, sightings in sent.items()}
    total = sum(len(stream) for stream in streams.values())
    verification = up.get("verification", {})
    said = {
        "authenticated_peer": verification.get("peer") or "",
        "assurance": verification.get("assurance", ""),
        "media_packets": total,
        "attacks": attacks(folder),
    }
    if not exchanges:
        unknown = keyed and not verification  # two phones of others, which tell nobody their keys
        return {"clear_rtp_packets": None if unknown else total, "keys_changed": None, **said}
    changed, clear = False, 0
    for host, stream in streams.items():
        closed = stream
        for number, exchange in enumerate(exchanges):
            closed = _unopened(closed, exchange["suite"], exchange[host])
            changed |= number == 0 and bool(closed)
        clear += len(closed)
    if reports is not None:
        said["clear_rtcp_packets"] = sum(_clear_reports(reports[host], exchanges, host) for host in streams)
    lost = sum(d.received_at is None for d in (*uplink, *downlink))
    return {"clear_rtp_packets": clear, "keys_changed": changed, "lost_on_the_way": lost, **said}


def _clear_reports(sightings: list[Sighting], exchanges: list[dict[str, Any]], host: str) -> int:
    closed = _genuine(sightings)
    for exchange in exchanges:
        closed = _unopened(closed, exchange["suite"], exchange[host], rtcp=True)
    return len(closed)


def _exchanges(folder: Path) -> list[dict[str, Any]]:
    """The suite, and with what each host encrypts, after each exchange, as a phone of ours wrote them."""
    for host, other in (("mn", "cn"), ("cn", "mn")):
        file = folder / f"{host}.keys"
        if file.exists():
            lines = map(json.loads, file.read_text().splitlines())
            return [{"suite": x["suite"], host: x["local"], other: x["remote"]} for x in lines]
    return []


def attacks(folder: Path) -> list[dict[str, Any]]:
    """What the judgement of the attacks left, if there were any."""
    path = folder / "attacks.json"
    listed: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return listed


def _genuine(sightings: Sequence[Sighting]) -> list[bytes]:
    """The packets that a host sent, each once, in the order in which they left."""
    return list(dict.fromkeys(s.octets for s in sorted(sightings)))


def _unopened(stream: Sequence[bytes], suite: str, key: dict[str, str], rtcp: bool = False) -> list[bytes]:
    """The packets that libsrtp does not open, in one pass over the whole stream with one key."""
    try:
        import pylibsrtp
    except ImportError:
        raise LocalError(
            "libsrtp, which judges the captures, is not installed", "pip install 'segue[test]'"
        ) from None
    if suite not in _PROFILES:
        from segue.lab.measure.own_srtp import unopened

        return unopened(stream, suite, key, rtcp)
    policy = pylibsrtp.Policy(
        key=bytes.fromhex(key["key"]) + bytes.fromhex(key["salt"]),
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
        srtp_profile=getattr(pylibsrtp.Policy, _PROFILES[suite]),
    )
    policy.window_size = WINDOW
    session = pylibsrtp.Session(policy=policy)
    open_ = session.unprotect_rtcp if rtcp else session.unprotect
    closed = []
    for packet in stream:
        try:
            open_(packet)
        except pylibsrtp.Error:
            closed.append(packet)
    return closed
