"""What somebody who reads a phone's wire knows of its call: streams, dialogs, addresses. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from segue.base.errors import RemoteError
from segue.lab.attacks.forgeries import ATTACKER, DialogView, Udp
from segue.lab.measure.measures import is_check, is_media
from segue.lab.measure.packets import TCP, UDP, Packet, parse_frame
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.sip.message import Message, Request, Response
from segue.protocols.sip.parser import MalformedMessage, parse_message

HISTORY = 250  # media frames kept of each phone
OLD_PATH = 20  # of those, how many are kept of the path before a move
DATAGRAMS = 50
BEGINNING = 1000  # media frames kept of the call's first ones to each phone
IDLE = 2.0  # seconds: a path that was silent so long is a new one, and those of one soft move are not
SIP_PORTS = (5060, 5061)


class Seen(NamedTuple):
    """A frame on its way to a phone."""

    time: float
    far_end: str
    frame: bytes
    datagram: Udp


class Check(NamedTuple):
    """A connectivity check that `host` got, or sent (`to_host` False)."""

    host: str
    to_host: bool
    seen: Seen


@dataclass
class Target:
    """One phone as the attacker sees it: what the latest packets to it looked like."""

    host: str
    media: Seen | None = None  # the newest genuine media to it
    rtp: RtpPacket | None = None
    ticks: int = 160
    history: deque[Seen] = field(default_factory=lambda: deque(maxlen=HISTORY))
    old_path: list[Seen] = field(default_factory=list)
    beginning: list[Seen] = field(default_factory=list)
    moves: int = 0  # how often its media came by a path that had carried none for IDLE
    paths: dict[tuple[object, ...], float] = field(default_factory=dict)  # when each carried media last
    sip: deque[Seen] = field(default_factory=lambda: deque(maxlen=DATAGRAMS))  # datagrams to it
    checks: deque[Seen] = field(default_factory=lambda: deque(maxlen=DATAGRAMS))  # connectivity checks to it
    asks: list[Seen] = field(default_factory=list)  # its own checks to the attacker, not yet answered
    signalling: Seen | None = None  # the newest packet from its server, over whatever transport
    dialog: DialogView | None = None
    invited: Request | None = None  # the newest INVITE that it received, or sent
    is_caller: bool = False
    answered: set[str] = field(default_factory=set)  # branches of ours that it answered with 200
    up: bool = False


def udp_of(frame: bytes, packet: Packet) -> Udp:
    """The datagram as a frame that can be sent again, changed. Of TCP, the addresses."""
    return Udp(
        frame[6:12],
        frame[:6],
        packet.source,
        packet.source_port,
        packet.destination,
        packet.destination_port,
        packet.payload,
    )


class Wiretap:
    """`targets` by host."""

    def __init__(self, far_ends: dict[str, str]) -> None:
        """`far_ends`: the host of each."""
        self._hosts = far_ends
        self.targets = {host: Target(host) for host in far_ends.values()}
        self.new_checks: list[Check] = []  # between the phones, not yet taken

    def receive(self, far_end: str, to_host: bool, frame: bytes, now: float) -> Target | None:
        """A genuine frame. The target when it was media to it."""
        packet = parse_frame(frame)
        if packet is None or packet.protocol not in (UDP, TCP):
            return None
        target = self.targets[self._hosts[far_end]]
        if packet.protocol == TCP:
            if to_host and packet.source_port in SIP_PORTS:
                target.signalling = Seen(now, far_end, frame, udp_of(frame, packet))
            return None
        if is_media(packet):
            if to_host:
                return self._take_media(target, Seen(now, far_end, frame, udp_of(frame, packet)))
        elif is_check(packet):
            self._take_check(target, to_host, Seen(now, far_end, frame, udp_of(frame, packet)))
        elif packet.payload[:1].isalpha():
            self._take_sip(target, to_host, Seen(now, far_end, frame, udp_of(frame, packet)))
        return None

    def _take_media(self, target: Target, seen: Seen) -> Target | None:
        try:
            rtp = parse_rtp(seen.datagram.payload)
        except RemoteError:
            return None
        before, last = target.media, target.rtp
        if before is not None and before.datagram[2:6] != seen.datagram[2:6]:
            target.old_path = list(target.history)[-OLD_PATH:]
        if last is not None and rtp.ssrc == last.ssrc and rtp.sequence == (last.sequence + 1) & 0xFFFF:
            target.ticks = (rtp.timestamp - last.timestamp) & 0xFFFFFFFF
        path = tuple(seen.datagram[2:6])
        if target.paths and seen.time - target.paths.get(path, -IDLE) > IDLE:
            target.moves += 1
        target.paths[path] = seen.time
        target.media, target.rtp = seen, rtp
        target.history.append(seen)
        if len(target.beginning) < BEGINNING:
            target.beginning.append(seen)
        return target

    def _take_check(self, target: Target, to_host: bool, seen: Seen) -> None:
        if not to_host and seen.datagram.destination in ATTACKER.values():
            if len(target.asks) < DATAGRAMS:
                target.asks.append(seen)
            return
        if to_host:
            target.checks.append(seen)
        if len(self.new_checks) < DATAGRAMS:
            self.new_checks.append(Check(target.host, to_host, seen))

    def _take_sip(self, target: Target, to_host: bool, seen: Seen) -> None:
        try:
            message = parse_message(seen.datagram.payload)
            if to_host:
                target.sip.append(seen)
                target.signalling = seen
            self._follow(target, to_host, message)
        except (MalformedMessage, RemoteError):
            return

    def _follow(self, target: Target, to_host: bool, message: Request | Response) -> None:
        """The dialog of the newest call, as INVITE and its 200 show it."""
        if isinstance(message, Request):
            if message.method == "INVITE" and not message.to.tag:
                target.invited, target.is_caller, target.up = message, not to_host, False
                target.dialog = None if target.is_caller else _view(message, message, caller=False)
            elif message.method in ("BYE", "CANCEL"):
                target.up = False
            return
        if not to_host and message.status == 200:
            target.answered.add(message.via.branch or "")
        invited = target.invited
        if (
            invited is not None
            and message.status == 200
            and message.cseq.method == "INVITE"
            and message.call_id == invited.call_id
            and not target.up
        ):
            target.dialog = _view(invited, message, target.is_caller)
            target.up = True


def _view(invite: Request, answer: Message, caller: bool) -> DialogView:
    """`answer`: the 200, or the INVITE itself as long as there is none. `caller`: the phone sent the INVITE."""
    ours, theirs = (invite, answer) if caller else (answer, invite)
    names = ("To", "From") if caller else ("From", "To")
    contacts = ours.contacts if ours is not theirs else []
    target = str(contacts[0].uri) if contacts else invite.uri
    origin = next(
        (line[2:] for line in theirs.body.decode("utf-8", "replace").splitlines() if line[:2] == "o="), ""
    )
    return DialogView(
        invite.call_id,
        answer.headers.get(names[0]) or "",
        answer.headers.get(names[1]) or "",
        target,
        theirs.headers.get("Contact") or "<sip:nobody@example.org>",
        invite.headers.get("Via") or "",
        invite.cseq.number,
        origin,
    )
