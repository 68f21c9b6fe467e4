"""An attacker who reads a call's wires and injects into them: what he sends, where, and when. Pure.

A plan has phases, one after another: so many packets of each kind, spread over so many seconds. Forged media comes
in runs of RUN packets, each in front of a genuine one; replays in runs of REPLAY_RUN, sent at once, so that whole
blocks of the coded signal are in them.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from segue.base.address import Address
from segue.base.entropy import Entropy, fraction
from segue.lab.attacks.during_moves import RELAYED_CHECK, REPLAYED_BEGINNING, DuringMoves
from segue.lab.attacks.forgeries import (
    ATTACKER,
    ATTACKER_PORT,
    FORGING_PORT,
    REPLAYING_PORT,
    DialogView,
    ToneVoice,
    Udp,
    forged_check,
    forged_check_response,
    forged_offer,
    forged_request,
    forged_rtcp_bye,
    forged_rtp,
    guessed_dialog,
)
from segue.lab.attacks.wiretap import Seen, Target, Wiretap
from segue.protocols.sip.field_values import Via

FORGED_MEDIA, REPLAYED_MEDIA, RTCP_BYE = "forged_media", "replayed_media", "forged_rtcp_bye"
BYE, CANCEL, REINVITE, REPLAYED_SIP = "forged_bye", "forged_cancel", "forged_reinvite", "replayed_sip"
FORGED_CHECK, REPLAYED_CHECK = "forged_check", "replayed_check"
KINDS = (
    *(FORGED_MEDIA, REPLAYED_MEDIA, RTCP_BYE, BYE, CANCEL, REINVITE, REPLAYED_SIP),
    *(FORGED_CHECK, REPLAYED_CHECK, RELAYED_CHECK, REPLAYED_BEGINNING),
)

RUN, REPLAY_RUN = 25, 10  # packets; a decoder with a memory needs some to come to a new sound
JUST_AHEAD = 0.010  # seconds after a genuine packet, 10 ms before the next one
YOUNGEST, OLDEST = 0.05, 2.0  # seconds of age of what is replayed
PATIENCE = 15.0  # seconds after the plan's end for what had no chance before: phones that start slowly
MOST = 20_000  # packets of one plan
MOST_AT_MOVES = 100_000  # packets besides it
_METHODS = {BYE: "BYE", CANCEL: "CANCEL", REINVITE: "INVITE"}


class Phase(NamedTuple):
    """`counts`: packets of each kind; `hosts`: the phones that are attacked, all when empty."""

    seconds: float
    counts: Mapping[str, int]
    hosts: tuple[str, ...] = ()


class Injection(NamedTuple):
    """A frame to be put on a far end, towards the host, and what the log says of it."""

    far_end: str
    frame: bytes
    record: dict[str, Any]


@dataclass
class _Due:
    kind: str
    hosts: tuple[str, ...]
    count: int
    until: float
    index: int


class Attacker:
    """`receive` every genuine frame, send what `due` gives. `secure`: whether the media is SRTP. `on_media`: the plan
    begins when media has come to every phone; else at `now`. `moves`: what he does besides when an end moves."""

    def __init__(
        self,
        tap: Wiretap,
        phases: list[Phase],
        secure: bool,
        entropy: Entropy,
        now: float,
        on_media: bool = False,
        delay: float = 0.0,
        moves: DuringMoves | None = None,
    ) -> None:
        self._tap = tap
        self._moves = moves
        self._secure = secure
        self._entropy = entropy
        self._voices: dict[tuple[str, int], ToneVoice] = {}
        self._to_forge: dict[str, int] = {}  # by host: forged media that is still owed
        self._plan: list[tuple[float, int, _Due]] = []
        self._forging: list[tuple[float, int, str, int]] = []  # when, order, host, sequence it follows
        self._order = 0
        self._cseq = 1000  # so much above the genuine ones
        self._versions = 100
        self._acknowledged: set[str] = set()
        self._invites: dict[str, tuple[DialogView, int, Target]] = {}
        self._makers: dict[str, Callable[[Target, _Due, float], list[tuple[Seen, Udp, dict[str, Any]]]]] = {
            REPLAYED_MEDIA: self._replay_media,
            RTCP_BYE: self._rtcp_bye,
            BYE: self._sip,
            CANCEL: self._sip,
            REINVITE: self._sip,
            REPLAYED_SIP: self._replay_sip,
            FORGED_CHECK: self._check,
            REPLAYED_CHECK: self._check,
        }
        self._waiting = phases
        self._delay = delay
        self.ends_at: float | None = None  # known once the plan has begun
        if not on_media:
            self._begin(now)

    def _begin(self, now: float) -> None:
        phases, self._waiting = self._waiting, []
        self.ends_at = self._schedule(phases, now + self._delay) + PATIENCE

    def _schedule(self, phases: list[Phase], begin: float) -> float:
        for phase in phases:
            hosts = phase.hosts or tuple(self._tap.targets)
            for kind, count in phase.counts.items():
                size = {FORGED_MEDIA: RUN, REPLAYED_MEDIA: REPLAY_RUN}.get(kind, 1)
                runs = -(-count // size)
                for run in range(runs):
                    at = begin + (run + fraction(self._entropy)) / runs * phase.seconds
                    due = _Due(
                        kind, hosts, min(size, count - run * size), begin + phase.seconds + PATIENCE, run
                    )
                    self._push(at, due)
            begin += phase.seconds
        return begin

    def _push(self, at: float, due: _Due) -> None:
        self._order += 1
        heapq.heappush(self._plan, (at, self._order, due))

    @property
    def finished(self) -> bool:
        return (
            self.ends_at is not None
            and self._moves is None
            and not self._plan
            and not self._forging
            and not any(self._to_forge.values())
        )

    def deadline(self) -> float | None:
        times = [queue[0][0] for queue in (self._plan, self._forging) if queue]
        if self._moves is not None and (at := self._moves.deadline()) is not None:
            times.append(at)
        return min(times, default=None)

    # In

    def receive(self, far_end: str, to_host: bool, frame: bytes, now: float) -> list[Injection]:
        """A genuine frame on a far end. What must be sent at once."""
        target = self._tap.receive(far_end, to_host, frame, now)
        if self._waiting and target is not None and all(t.media for t in self._tap.targets.values()):
            self._begin(now)
        if target is not None and target.rtp is not None and self._to_forge.get(target.host, 0) > 0:
            self._to_forge[target.host] -= 1
            self._order += 1
            heapq.heappush(self._forging, (now + JUST_AHEAD, self._order, target.host, target.rtp.sequence))
        if self._moves is None:
            self._tap.new_checks.clear()
            return self._acknowledge() + self._answer_checks()
        if target is not None:
            self._moves.media_came(target, now)
        relayed = [self._injection(*piece) for piece in self._moves.relayed()]
        return relayed + self._acknowledge() + self._answer_checks()

    # Out

    def due(self, now: float) -> list[Injection]:
        made: list[Injection] = []
        while self._forging and self._forging[0][0] <= now:
            _, _, host, sequence = heapq.heappop(self._forging)
            made += self._forge(self._tap.targets[host], sequence)
        while self._plan and self._plan[0][0] <= now:
            _, _, due = heapq.heappop(self._plan)
            made += self._act(due, now)
        if self._moves is not None:
            made += [self._injection(*piece) for piece in self._moves.due(now)]
        return made

    def _act(self, due: _Due, now: float) -> list[Injection]:
        target = self._tap.targets[due.hosts[due.index % len(due.hosts)]]
        if due.kind == FORGED_MEDIA:
            self._to_forge[target.host] = self._to_forge.get(target.host, 0) + due.count
            return []
        pieces = self._makers[due.kind](target, due, now)
        if not pieces and now < due.until:
            self._push(now + 0.05, due)
        return [self._injection(due.kind, target.host, *piece) for piece in pieces]

    def _injection(self, kind: str, host: str, seen: Seen, datagram: Udp, facts: dict[str, Any]) -> Injection:
        frame = datagram.to_bytes()
        record = {
            "kind": kind,
            "target": host,
            "far_end": seen.far_end,
            "octets": len(datagram.payload),
            "sha256": hashlib.sha256(datagram.payload).hexdigest(),
        }
        return Injection(seen.far_end, frame, record | facts)

    # Media

    def _forge(self, target: Target, sequence: int) -> list[Injection]:
        """Just ahead of the packet after `sequence`, or not at all when that has come meanwhile."""
        media, rtp = target.media, target.rtp
        if media is None or rtp is None or rtp.sequence != sequence:
            self._to_forge[target.host] += 1
            return []
        key = (target.host, rtp.payload_type)
        voice = self._voices.setdefault(key, ToneVoice(rtp.payload_type))
        length = len(media.datagram.payload) if self._secure else 0
        octets = forged_rtp(rtp, target.ticks, voice, length, self._entropy)
        datagram = media.datagram._replace(payload=octets)
        return [self._injection(FORGED_MEDIA, target.host, media, datagram, {"ssrc": rtp.ssrc})]

    def _replay_media(self, target: Target, due: _Due, now: float) -> list[tuple[Seen, Udp, dict[str, Any]]]:
        """A run of genuine packets: as they were, from another source, or on the path before the move."""
        history = list(target.history)
        age = YOUNGEST + 0.02 * due.count + fraction(self._entropy) * (OLDEST - YOUNGEST - 0.02 * due.count)
        if not history or (history[0].time > now - age and now < due.until):
            return []
        first = next((n for n, seen in enumerate(history) if seen.time >= now - age), 0)
        how = ("same", "other source", "old path")[due.index // len(due.hosts) % 3]
        run = history[first : first + due.count]
        if how == "old path":
            run = target.old_path[: due.count] or run
        if len(run) < due.count:
            return []
        pieces = []
        for seen in run:
            datagram = seen.datagram
            if how == "other source":
                address = ATTACKER[6 if ":" in datagram.source else 4]
                datagram = datagram._replace(source=address, source_port=ATTACKER_PORT)
            facts = {"how": how, "age": round(now - seen.time, 3)}
            pieces.append((seen, datagram, facts))
        return pieces

    def _rtcp_bye(self, target: Target, _due: _Due, _now: float) -> list[tuple[Seen, Udp, dict[str, Any]]]:
        if target.media is None or target.rtp is None:
            return []
        octets = forged_rtcp_bye(target.rtp.ssrc, self._secure, self._entropy)
        return [(target.media, target.media.datagram._replace(payload=octets), {})]

    # Connectivity checks

    def _check(self, target: Target, due: _Due, now: float) -> list[tuple[Seen, Udp, dict[str, Any]]]:
        """From the attacker's own address: whoever believes it sends his media there. A replay is octet for octet
        what the other end has sent."""
        replays = due.kind == REPLAYED_CHECK
        known = [seen for seen in target.checks if not replays or now - seen.time >= YOUNGEST]
        if not known:
            return []
        seen = known[int(fraction(self._entropy) * len(known))] if replays else known[-1]
        octets = seen.datagram.payload if replays else forged_check(seen.datagram.payload, self._entropy)
        source = ATTACKER[6 if ":" in seen.datagram.source else 4]
        port = REPLAYING_PORT if replays else FORGING_PORT
        datagram = seen.datagram._replace(source=source, source_port=port, payload=octets)
        return [(seen, datagram, {"age": round(now - seen.time, 3)} if replays else {})]

    def _answer_checks(self) -> list[Injection]:
        """A phone that believes him, or wants to know, checks his address: he answers as well as he can."""
        made = []
        for target in self._tap.targets.values():
            asks, target.asks = target.asks, []
            for seen in asks:
                asked = seen.datagram
                source = Address(asked.source, asked.source_port)
                datagram = Udp(
                    asked.link_destination,
                    asked.link_source,
                    asked.destination,
                    asked.destination_port,
                    asked.source,
                    asked.source_port,
                    forged_check_response(asked.payload, source, self._entropy),
                )
                made.append(self._injection("ack", target.host, seen, datagram, {}))
        return made

    # Signalling

    def _sip(self, target: Target, due: _Due, _now: float) -> list[tuple[Seen, Udp, dict[str, Any]]]:
        """To the phone's signalling address where that is UDP, else there and to its media port in turn."""
        dialog, way = target.dialog, self._way(target, due.index)
        ringing = due.kind == CANCEL and dialog is not None
        if way is None or (target.invited is not None and not target.up and not ringing):
            return []
        datagram = way.datagram
        family = 6 if ":" in datagram.destination else 4
        view = dialog or guessed_dialog(datagram.destination, self._entropy)
        self._cseq += 1
        method = _METHODS[due.kind]
        branch = f"z9hG4bK{self._entropy.octets(8).hex()}"
        via, cseq, body = f"{_place(datagram)};branch={branch}", view.invite_cseq + self._cseq, b""
        if method == "CANCEL" and view.invite_via:
            via, cseq = view.invite_via, view.invite_cseq
            branch = Via.parse(via).branch or ""
        elif method == "INVITE":
            self._versions += 1
            payload_type = target.rtp.payload_type if target.rtp else 8
            body = forged_offer(
                family, payload_type, view.origin, self._versions, self._secure, self._entropy
            )
            self._invites[branch] = (view, cseq, target)
        octets = forged_request(method, view, via, cseq, body)
        return [(way, datagram._replace(payload=octets), {"branch": branch, "method": method})]

    def _way(self, target: Target, index: int) -> Seen | None:
        """A packet whose addresses a forged one shall bear."""
        signalling, media = target.signalling, target.media
        ways = [way for way in (signalling, media) if way is not None]
        if target.sip and target.dialog is not None:
            return target.sip[-1]
        return ways[index % len(ways)] if ways else None

    def _replay_sip(self, target: Target, _due: _Due, now: float) -> list[tuple[Seen, Udp, dict[str, Any]]]:
        """Requests to the phone first of all: they could have an effect."""
        old = [seen for seen in target.sip if now - seen.time >= YOUNGEST]
        requests = [seen for seen in old if not seen.datagram.payload.startswith(b"SIP/")]
        chosen = requests or old
        if not chosen:
            return []
        seen = chosen[int(fraction(self._entropy) * len(chosen))]
        return [(seen, seen.datagram, {"age": round(now - seen.time, 3)})]

    def _acknowledge(self) -> list[Injection]:
        """A phone that took a forged INVITE waits for its ACK before it takes another."""
        made = []
        for branch, (view, cseq, target) in list(self._invites.items()):
            if branch in target.answered and target.sip:
                del self._invites[branch]
                way = target.sip[-1]
                via = f"{_place(way.datagram)};branch=z9hG4bK{self._entropy.octets(8).hex()}"
                octets = forged_request("ACK", view, via, cseq)
                datagram = way.datagram._replace(payload=octets)
                made.append(self._injection("ack", target.host, way, datagram, {"branch": branch}))
        return made


def _place(datagram: Udp) -> str:
    host = f"[{datagram.source}]" if ":" in datagram.source else datagram.source
    return f"SIP/2.0/UDP {host}:{datagram.source_port}"


def spread(total: int, sip_over_udp: bool, checks: bool = False) -> dict[str, int]:
    """How `total` packets are shared among the kinds. `checks`: whether the phones check paths."""
    media = 0.27 if checks else 0.35
    shares = {
        FORGED_MEDIA: media,
        REPLAYED_MEDIA: media,
        RTCP_BYE: 0.06,
        BYE: 0.08,
        CANCEL: 0.06,
        REINVITE: 0.1,
    }
    if checks:
        shares |= {FORGED_CHECK: 0.08, REPLAYED_CHECK: 0.08}
    counts = {kind: int(total * share) for kind, share in shares.items()}
    if sip_over_udp:
        counts[REPLAYED_SIP] = counts[CANCEL]
    counts[FORGED_MEDIA] += total - sum(counts.values())
    return counts
