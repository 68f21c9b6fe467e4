"""What attacks achieved, from captures and recordings. No phone is asked.

- forged media: 20 ms pieces of the recording in which the attacker's tone is what is heard, or something louder than
  the coded signal ever is: what becomes of the tone when SRTP is decrypted and not authenticated;
- replayed media: 20 ms pieces of what was said that the recording has again after a later one;
- forged SIP: a phone answered it with 200, sent media to the attacker's address, or the call ended early;
- forged RTCP BYE: the call ended early;
- forged and replayed checks: within a second after one media went to where it came from, and nowhere else. Copies
  of what the other end gets too are told beside;
- relayed checks: a second after one media still went to where the copy came from, and nowhere else. Until then a
  phone cannot always know better;
- the call's beginning replayed: 20 ms pieces that the recording has again seconds later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Samples
from segue.base.resample import resample
from segue.devices.wav_format import read_format
from segue.lab.attacks.attack import LOG, read_log
from segue.lab.attacks.attacker import (
    BYE,
    CANCEL,
    FORGED_CHECK,
    FORGED_MEDIA,
    KINDS,
    REINVITE,
    REPLAYED_CHECK,
    REPLAYED_MEDIA,
    REPLAYED_SIP,
    RTCP_BYE,
)
from segue.lab.attacks.during_moves import RELAYED_CHECK, REPLAYED_BEGINNING
from segue.lab.attacks.forgeries import ATTACKER, FORGING_PORT, RELAYING_PORT, REPLAYING_PORT, TONE_HZ
from segue.lab.measure import spoken
from segue.lab.measure.capture import Captured, read_captures
from segue.lab.measure.measures import is_media
from segue.lab.measure.packets import UDP, Packet
from segue.media.coded_signal import BLOCK, PERIOD, Heard, analyse, heard_long_after
from segue.protocols.sip.message import Response
from segue.protocols.sip.parser import parse_message

RATE = 8000  # Hz, of the analysis
WINDOW, HOP = 160, 40  # samples: 20 ms and 5 ms
TONE_SHARE = 0.35  # of a window's power that is the tone's where it is heard
TONE_LEVEL = -16.0  # dBov, at least
NOISE_LEVEL = -14.0  # dBov: random octets in G.711 have -10, the coded signal has -20
EARLY = 1.0  # seconds before its time at which a call that ends was ended
CHECKING_PORTS = {
    FORGED_CHECK: FORGING_PORT,
    REPLAYED_CHECK: REPLAYING_PORT,
    RELAYED_CHECK: RELAYING_PORT,
}
BELIEVED = 1.0  # seconds after a check in which media that goes astray is its doing
BLAMED = 2.0  # seconds before a call's end in which what was injected may have ended it
PIECE_MS = 20.0

Pieces = list[tuple[Captured, Packet]]


class AttackResult(NamedTuple):
    """`tried`: packets that reached a phone's wire. `accepted`: those that had an effect a user could notice."""

    kind: str
    tried: int
    accepted: int
    evidence: str


class Recording(NamedTuple):
    samples: Samples
    rate: int  # Hz


def read_recording(path: Path) -> Recording:
    """The first channel of a WAV file. LocalError when it is none."""
    try:
        with path.open("rb") as file:
            form = read_format(file, path.name)
            file.seek(form.begin)
            octets = file.read(2 * form.frames * form.channels)
    except OSError as error:
        raise LocalError(f"cannot read {path} ({error.strerror})", "give the recording of a phone") from None
    samples = np.frombuffer(octets, dtype="<i2").astype(np.int16)[:: form.channels]
    return Recording(samples, form.rate)


def foreign_ms(recording: Recording, speech: Samples | None = None) -> float:
    """Milliseconds in which the attacker's tone is what is heard, or something louder than the coded signal; with
    `speech` (at RATE), something as loud that was not spoken."""
    plain = resample(recording.samples, recording.rate, RATE)
    samples = plain.astype(np.float64) / 32768
    if len(samples) < WINDOW:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    wave = np.exp(-2j * np.pi * TONE_HZ * np.arange(WINDOW) / RATE)
    power = 2 * np.abs(windows @ wave / WINDOW) ** 2
    energy = (windows**2).mean(axis=1)
    heard = (power > TONE_SHARE * energy) & (power > 10 ** (TONE_LEVEL / 10))
    loud = energy > 10 ** (NOISE_LEVEL / 10)
    if speech is not None:
        for place in spoken.places(plain, speech, RATE):
            first = round(place.heard_at * RATE / HOP)
            loud[first : first + round(spoken.WINDOW * RATE / HOP)] = False
    return float((heard | loud).sum()) * 1000 * HOP / RATE


def repeated_pieces(recording: Recording, speech: Samples | None = None) -> int:
    """20 ms pieces that were heard again, of the coded signal or of `speech` (at RATE)."""
    if speech is None:
        return round(_heard_again(analyse(recording.samples, recording.rate)) * BLOCK * 1000 / PIECE_MS)
    samples = resample(recording.samples, recording.rate, RATE)
    return round(spoken.repeated(spoken.places(samples, speech, RATE)) * spoken.HOP * 1000 / PIECE_MS)


def judge(
    folder: Path,
    *,
    recordings: Mapping[str, Path] | None = None,
    captures: Path | None = None,
    until: float | None = None,
    log: Path | None = None,
    speech: Samples | None = None,
) -> list[AttackResult]:
    """Of each kind that was tried. `until`: Unix time at which the call was to end; by default as `plan.json` says.
    By default the recordings are `folder`/HOST.wav and the captures `folder`/captures. `speech`: what both talked,
    at RATE, again and again; by default the coded signal. Raises LocalError when a phone that was attacked has no
    recording: its silence would prove nothing."""
    tried = [line for line in read_log(log or folder / LOG) if line["kind"] in KINDS and line["reached"]]
    if until is None and (folder / "plan.json").exists():
        plan = json.loads((folder / "plan.json").read_text())
        until = plan["begin"] + plan["duration"]
    seen = [
        (captured, packet)
        for captured in read_captures(captures or folder / "captures")
        if (packet := captured.packet()) is not None and packet.protocol == UDP
    ]
    arrived = {sha256(packet.payload).hexdigest() for captured, packet in seen if captured.received}
    tried = [line for line in tried if line["sha256"] in arrived]
    hosts = sorted({line["target"] for line in tried})
    heard = {
        host: read_recording(path)
        for host in hosts
        if (path := (recordings or {}).get(host, folder / f"{host}.wav")).exists()
    }
    ended = ended_early(seen, tried, until)
    results = []
    for kind in KINDS:
        of_kind = [line for line in tried if line["kind"] == kind]
        if not of_kind:
            continue
        if kind in (FORGED_MEDIA, REPLAYED_MEDIA, REPLAYED_BEGINNING):
            results.append(_judge_media(kind, of_kind, heard, speech))
        else:
            results.append(_judge_signalling(kind, of_kind, seen, ended))
    return results


def _judge_media(
    kind: str, tried: list[dict[str, Any]], heard: Mapping[str, Recording], speech: Samples | None
) -> AttackResult:
    accepted, evidence = 0, []
    for host in sorted({line["target"] for line in tried}):
        if host not in heard:
            raise LocalError(f"there is no recording of what {host} heard", "record it: --audio-out FILE.wav")
        if not _talk(heard[host], speech):
            raise LocalError(
                f"{host} heard nothing of the call", "its silence proves nothing: see its events"
            )
        count = sum(line["target"] == host for line in tried)
        if kind == FORGED_MEDIA:
            pieces = round(foreign_ms(heard[host], speech) / PIECE_MS)
        elif kind == REPLAYED_BEGINNING and speech is None:
            pieces = round(heard_long_after(*heard[host]) * BLOCK * 1000 / PIECE_MS)
        else:
            pieces = repeated_pieces(heard[host], speech)
        accepted += min(count, pieces)
        evidence.append(f"{host} heard {pieces} of {count} pieces")
    return AttackResult(kind, len(tried), accepted, "; ".join(evidence))


def _heard_again(heard: list[Heard]) -> int:
    """Blocks that came again after a later one, two in a row at least: a replayed run has five, while concealment
    may sound once more like the block before a loss."""
    count, newest, row = 0, -PERIOD, 0
    before = -PERIOD
    for piece in heard:
        if piece.block == before:
            continue  # one block in two pieces
        row = row + 1 if piece.block <= newest else 0
        count += 2 if row == 2 else row > 2
        before, newest = piece.block, max(newest, piece.block)
    return count


def _talk(recording: Recording, speech: Samples | None) -> bool:
    """Whether there is anything of the other end in it."""
    if speech is None:
        return bool(analyse(recording.samples, recording.rate))
    return bool(spoken.places(resample(recording.samples, recording.rate, RATE), speech, RATE))


def _judge_signalling(
    kind: str, tried: list[dict[str, Any]], seen: Pieces, ended: dict[str, Any] | None
) -> AttackResult:
    accepted, evidence = 0, []
    if kind in (BYE, CANCEL, REINVITE):
        answered = answered_requests(seen) & {(line["branch"], line["method"]) for line in tried}
        accepted = len(answered)
        evidence.append(f"{accepted} answered with 200")
    if kind == REPLAYED_SIP:
        accepted = second_dialogs(seen)
        evidence.append(f"{accepted} dialogs made by an INVITE that had one")
    if kind in (FORGED_CHECK, REPLAYED_CHECK):
        copies, only = _led_away(seen, CHECKING_PORTS[kind])
        times = [float(line["time"]) for line in tried]
        accepted = sum(any(at <= lost <= at + BELIEVED for lost in only) for at in times)
        evidence.append(f"{copies} media packets went to the attacker, {len(only)} of them to him alone")
    if kind == RELAYED_CHECK:
        copies, only = _led_away(seen, RELAYING_PORT, arrived=True)
        times = [float(line["time"]) for line in tried]
        accepted = sum(any(at + BELIEVED < lost <= at + 2 * BELIEVED for lost in only) for at in times)
        longest = max((lost - max(at for at in times if at <= lost) for lost in only), default=0.0)
        evidence.append(
            f"{copies} media packets went to the attacker, {len(only)} of them to him alone, the last of those "
            f"{1000 * longest:.0f} ms after a check at most"
        )
    if kind == REINVITE:
        redirected = sum(
            is_media(packet)
            and packet.destination in ATTACKER.values()
            and packet.destination_port not in CHECKING_PORTS.values()
            and not captured.received
            for captured, packet in seen
        )
        accepted = max(accepted, int(redirected > 0))
        evidence.append(f"{redirected} media packets went to the attacker")
    if ended is not None and ended["kind"] == kind:
        accepted = max(accepted, 1)
        evidence.append("the call ended early")
    return AttackResult(
        kind, len(tried), min(accepted, len(tried)), "; ".join(evidence) or "the call went on"
    )


def _led_away(seen: Pieces, port: int, arrived: bool = False) -> tuple[int, list[float]]:
    """Media packets that left for where the attacker's checks of one kind come from, and when those left that the
    other end was not sent as well; with `arrived`, that it never got: in a move they are sent to where it was, too.
    """
    media = [(captured, packet) for captured, packet in seen if is_media(packet)]
    genuine = {
        packet.payload
        for captured, packet in media
        if captured.received is arrived and packet.destination not in ATTACKER.values()
    }
    his = [(c.time, p.payload) for c, p in media if not c.received and p.destination_port == port]
    return len(his), [time for time, payload in his if payload not in genuine]


def ended_early(seen: Pieces, tried: Iterable[dict[str, Any]], until: float | None) -> dict[str, Any] | None:
    """The last packet injected that may have ended the call; None when both sides' media went on until the end."""
    if until is None:
        return None
    last: dict[str, float] = {}
    for captured, packet in seen:
        if not captured.received and is_media(packet):
            last[captured.place.split()[0]] = captured.time
    ends = [time for time in last.values() if time < until - EARLY]
    if not ends:
        return None
    end = min(ends)
    fatal = [
        line
        for line in tried
        if line["kind"] in (BYE, CANCEL, RTCP_BYE, REINVITE, REPLAYED_SIP)
        and end - BLAMED <= line["time"] <= end + 0.5
    ]
    chosen = [line for line in fatal if line["kind"] in (BYE, RTCP_BYE, CANCEL)] or fatal
    return chosen[-1] if chosen else None


def answered_requests(seen: Pieces) -> set[tuple[str, str]]:
    """Branch and method of each request over UDP that a host answered with 200. A CANCEL has its INVITE's branch."""
    answered = set()
    for captured, packet in seen:
        if not captured.received and packet.payload.startswith(b"SIP/2.0 200"):
            message = _response(packet.payload)
            if message is not None:
                answered.add((message.via.branch or "", message.cseq.method))
    return answered


def second_dialogs(seen: Pieces) -> int:
    """How often a host answered an INVITE with 200 under another To tag than before."""
    tags: dict[tuple[str, str, str], set[str]] = {}
    for captured, packet in seen:
        if captured.received or not packet.payload.startswith(b"SIP/2.0 200"):
            continue
        message = _response(packet.payload)
        if message is None or message.cseq.method != "INVITE":
            continue
        key = (captured.place.split()[0], message.call_id, message.from_.tag or "")
        tags.setdefault(key, set()).add(message.to.tag or "")
    return sum(len(each) - 1 for each in tags.values())


def _response(octets: bytes) -> Response | None:
    try:
        message = parse_message(octets)
    except RemoteError:
        return None
    return message if isinstance(message, Response) and message.headers.get("Via") else None


def as_json(results: Iterable[AttackResult], controls: Iterable[AttackResult]) -> list[dict[str, Any]]:
    """`security.attacks` of a run."""
    control = {result.kind: result for result in controls}
    return [
        {
            "kind": result.kind,
            "tried": result.tried,
            "accepted": result.accepted,
            "control_tried": control[result.kind].tried if result.kind in control else 0,
            "control_accepted": control[result.kind].accepted if result.kind in control else 0,
            "evidence": result.evidence,
        }
        for result in results
    ]
