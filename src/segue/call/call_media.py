"""The media side of one call: what is negotiated, the keys for it, the packets, and the paths they take. Pure.

Sockets are behind `Ports`. Signalling (`call.call`) calls this with the bodies that came, and takes bodies from it.
"""

from __future__ import annotations

from typing import Protocol

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import LocalError, RemoteError
from segue.base.ice_description import IceDescription
from segue.base.keying import KeyAgreement, KeyingFailed, KeysReady, Verification
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.config import MediaConfig
from segue.call.connectivity import Connectivity
from segue.call.duplication import MayDuplicate
from segue.call.extensions import Extension
from segue.call.keying import PENDING, UNPROTECTED
from segue.call.media_session import MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.call.path import MediaPaths
from segue.call.remote_media import read_ice
from segue.protocols.demux import Kind, sort
from segue.protocols.sdp import Attribute, parse_sdp

_HANDSHAKES = frozenset({Kind.DTLS, Kind.ZRTP})
RESUME_PATIENCE = 1.0  # seconds that what a peer has missed waits for the way to where it is
PORTS = 8  # local ports at most that one call listens on: moves may follow faster than anything is proven


class Ports(Protocol):
    """Where media can be received; `phone` opens the sockets."""

    def open(self, interface: str, host: str) -> LocalPort:
        """A pair of ports, for RTP and on the next one RTCP. Raises LocalError."""

    def close(self, port: LocalPort) -> None: ...

    def hosts(self) -> list[tuple[str, str]]:
        """Interfaces and addresses that can be used now, those in use first."""

    def stun_servers(self) -> tuple[Address, ...]:
        """Those that tell where our ports seem to be."""


class CallMedia:
    """Made with the port that the first offer or answer names."""

    def __init__(
        self,
        config: MediaConfig,
        keying: KeyAgreement | None,
        ports: Ports,
        port: LocalPort,
        entropy: Entropy,
        now: float,
        *,
        wall_offset: float = 0.0,
        initial_sequence: int | None = None,
        may_duplicate: MayDuplicate | None = None,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.paths = MediaPaths(port)
        self.session = MediaSession(
            MediaIdentity.draw(entropy, initial_sequence),
            entropy,
            now,
            wall_offset=wall_offset,
            speech_limit=config.waits,
            trace=trace,
        )
        self.verification: Verification = UNPROTECTED if keying is None else PENDING
        self._negotiation = Negotiation(config, keying, entropy, trace)
        self._keying = keying
        self.connectivity = Connectivity(
            self.paths,
            entropy,
            enabled=config.ice,
            muxes=config.rtcp_mux,
            migration=Extension.MIGRATE in config.extensions,
            duplicates=config.duplicate and keying is not None,
            may_duplicate=may_duplicate,
            stun_servers=ports.stun_servers(),
            trace=trace,
        )
        self.connectivity.opened(port, now)
        self._ports = ports
        self._port = port  # what our next offer or answer names
        self._news = False
        self._asked_by: tuple[Path, float] | None = None  # by which way the peer asked to resume, and when
        self.keying_problem = ""  # why there are no keys, and will be none
        self._trace = trace

    @property
    def agreement(self) -> MediaAgreement | None:
        return self._negotiation.agreement

    @property
    def offer_is_open(self) -> bool:
        """Our offer waits for its answer."""
        return self._negotiation.offer_is_open

    @property
    def owes_new_key(self) -> bool:
        """Another offer has to follow: the peer was replaced by one that may not know our rollover counter."""
        return self._negotiation.owes_new_key

    @property
    def suite(self) -> str:
        """Empty in the clear."""
        return self.session.keys.suite.value if self.session.keys else ""

    # Offers and answers

    def offer(self, now: float) -> bytes:
        """Our offer, at the newest port. One that is still open is taken back."""
        if self._negotiation.offer_is_open:
            self._negotiation.rollback()
        self.look_around(now)
        body = self._negotiation.make_offer(self._local(self.connectivity.offer(now)), now)
        self._take_keys(now)
        return body

    def take_answer(self, body: bytes, now: float) -> MediaAgreement:
        """Raises RemoteError; then all is as before our offer."""
        agreement = self._negotiation.receive_answer(body, now)
        self._adopt(agreement, len(body), now, answer=True)
        return agreement

    def answer(self, body: bytes, now: float) -> bytes:
        """The answer to an offer, at a port of the offer's address family. Raises RemoteError and changes nothing:
        488 when it cannot be accepted."""
        if self._negotiation.offer_is_open:
            self._negotiation.rollback()
        family, ice, mid, mux = _wishes(body)
        port = self._port_for(family, now)
        if ice is not None:
            self.look_around(now)
        local = LocalMedia(port.address, attributes=self.connectivity.answer(ice, mid, now, mux=mux))
        try:
            answer = self._negotiation.receive_offer(body, local, now)
        except RemoteError:
            self.connectivity.refused(now)
            if port not in self.paths.ports:
                self._close(port, now)
            raise
        if port != self._port:
            self.paths.send_from(self._listen(port, now))
        agreement = self._negotiation.agreement
        assert agreement is not None
        self._adopt(agreement, len(body), now, answer=False)
        return answer

    def take_crossed(self, body: bytes, now: float) -> bool:
        """The peer's offer met ours and must not be answered; but our media goes at once where it says that the peer
        is now. True when that is news."""
        media = self._negotiation.receive_crossed(body)
        agreement = self._negotiation.agreement
        if media is None or agreement is None or agreement.remote is None:
            return False
        self.connectivity.crossed(agreement, media.ice, len(body), now)
        return True

    def refusal(self, body: bytes) -> bytes:
        """An answer that takes nothing of an offer which no status can refuse."""
        return self._negotiation.refuse_offer(body, self._local())

    def rollback(self) -> None:
        """Our offer was refused."""
        if self._negotiation.offer_is_open:
            self._negotiation.rollback()
            self.connectivity.taken_back()

    def take_back_hold(self) -> bool:
        """Before `rollback`: the peer does not agree to be held, so it hears us again. False when our offer was not
        about that."""
        taken_back = self._negotiation.take_back_hold()
        if taken_back:
            self.session.holding = False
        return taken_back

    def hold(self) -> None:
        """From now on the peer hears nothing of us, whether or not it has agreed yet."""
        self._negotiation.hold()
        self.session.holding = True

    def resume(self) -> None:
        self._negotiation.resume()
        self.session.holding = False

    def confirm(self, matches: bool, now: float) -> None:
        """The user has compared the short authentication string with the peer."""
        if self._keying is not None:
            self._keying.confirm(matches, now)
            self._take_keys(now)

    # The five verbs: of the sound, and of a key agreement that talks on the media path

    def receive(self, datagram: bytes, path: Path, now: float) -> bool:
        """Take a datagram that came to `path.local` from `path.remote`. True when it was authentic media."""
        kind = sort(datagram)
        if kind is Kind.RTP or kind is Kind.RTCP:
            authentic = self.session.receive(datagram, kind, now)
            if authentic:
                self.paths.received(path.port, now)
                self._news = self.connectivity.received(path, len(datagram), now) or self._news
            elif self.session.resume_came():
                self._asked_by = (path, now)
            return authentic
        if kind is Kind.STUN:
            self.connectivity.receive(datagram, path, now)
            if self.connectivity.lengthens:
                self.connectivity.lengthens = False
                self.session.expect_move(now)
            self._news = True
            return False
        if self._keying is not None and kind in _HANDSHAKES:
            self._keying.receive(datagram, path.remote, now)
            self._take_keys(now)
            self._news = True
        else:
            self._trace.drop("media", "neither media nor a handshake", kind=kind.value)
        return False

    def transmits(self) -> list[tuple[Path, bytes]]:
        """Checks of paths, and what the key agreement sends the way that our media goes; kept until there is one."""
        checks, way = self.connectivity.transmits(), self.paths.active
        if self._keying is None or way is None:
            return checks
        return checks + [(way, octets) for octets in self._keying.transmits()]

    def ways(self, octets: int, now: float) -> tuple[Path, ...]:
        """The paths that a packet of our media of this size leaves on now."""
        return self.connectivity.ways(octets, now)

    def report_ways(self) -> tuple[Path, ...]:
        """The same for RTCP: beside our media, or at the peer's other port when it has no rtcp-mux."""
        agreement = self.agreement
        way = self.paths.active if agreement is not None and agreement.rtcp_mux else self.paths.rtcp
        return () if way is None else (way,)

    def deadline(self) -> float | None:
        keying = self._keying.deadline() if self._keying else None
        return earliest(self.session.deadline(), keying, self.connectivity.deadline())

    def expire(self, now: float) -> None:
        self.session.expire(now)
        self.connectivity.expire(now)
        if self._keying is not None:
            self._keying.expire(now)
            self._take_keys(now)

    def has_news(self) -> bool:
        """Whether what came on the media path is for more than the ear; asked after `receive`, and told once."""
        session = self.session
        news, self._news = self._news or session.digits_wait or session.feedback_waits, False
        return news

    # An outage

    def late(self, now: float) -> list[tuple[Path, bytes]]:
        """To be asked right after each packet of ours: those of before that leave (again) now, and by which way."""
        self._resume(now)
        granted: list[tuple[Path, ...]] = []

        def may_send(octets: int) -> bool:
            if ways := self.connectivity.late_ways(octets, now):
                granted.append(ways)
            return bool(ways)

        packets = self.session.late(now, may_send)
        return [(way, octets) for octets, ways in zip(packets, granted, strict=True) for way in ways]

    def _resume(self, now: float) -> None:
        """The peer has moved and said so by its media's way. What it missed is for the way to where it is: as a rule
        that is known already, otherwise its signalling is about to tell."""
        if self._asked_by is None:
            return
        path, asked_at = self._asked_by
        if self.connectivity.leads_to(path.remote) or now - asked_at >= RESUME_PATIENCE:
            self._asked_by = None
            self.session.resume(now)

    def link_lost(self, now: float) -> None:
        """Nothing can leave, and nothing comes, until `path_back`."""
        self.session.link_lost(now)

    def path_back(self, now: float) -> None:
        """Our media leaves on another path, or on the same again. What could not leave follows, where the peer waits
        for it, and the peer is asked to go on where its media stopped: that is news, which belongs right behind what
        tells the peer where we are."""
        self.session.path_back(now)
        self.session.ask_to_resume(now)

    # Paths

    def look_around(self, now: float) -> None:
        """Listen on every network there is, so that the peer can be told of it and a move finds it ready; let go of
        those that are no more. Without ICE one is enough."""
        if not self.connectivity.wanted:
            self.paths.keep(())
            return
        hosts = self._ports.hosts()[:PORTS]
        for interface, host in hosts:
            try:
                port = self._port_at(interface, host, now)
            except LocalError as error:
                self._trace.note("media", "no port there", interface=interface, problem=str(error))
                continue
            if port not in self.paths.ports:
                self.paths.listen_beside(port)
        self.paths.keep(p for p in self.paths.ports if (p.interface, p.address.host) in hosts)
        for port in self.paths.ports:
            gone = (port.interface, port.address.host) not in hosts and port != self._port
            if gone and self.paths.forget(port):
                self._close(port, now)

    def relayed(
        self, port: LocalPort, base: LocalPort, mapped: Address | None, follows: bool, now: float
    ) -> None:
        """As `Connectivity.relayed`."""
        self.connectivity.relayed(port, base, mapped, follows, now)
        self._news = True

    def relay_moved(self, port: LocalPort, base: LocalPort) -> None:
        """As `Connectivity.relay_moved`."""
        self.connectivity.relay_moved(port, base)
        self._news = True

    def relay_gone(self, port: LocalPort, now: float) -> None:
        self.connectivity.relay_gone(port, now)
        self._news = True

    def listen_on(self, interface: str, host: str, now: float) -> LocalPort:
        """Receive there too, and name it in the next offer. Raises LocalError when no port can be opened."""
        return self._listen(self._port_at(interface, host, now), now)

    def _port_at(self, interface: str, host: str, now: float) -> LocalPort:
        known = (p for p in self.paths.ports if p.interface == interface and p.address.host == host)
        if (port := next(known, None)) is not None:
            return port
        port = self._ports.open(interface, host)
        try:
            self.connectivity.opened(port, now)
        except LocalError:
            self._ports.close(port)
            raise
        return port

    def _listen(self, port: LocalPort, now: float) -> LocalPort:
        self._port = port
        self.paths.restart_proof(port)
        self.paths.listen_on(port)
        for old in self.paths.ports[:-PORTS]:
            if self.paths.forget(old):
                self._close(old, now)
        return port

    def _close(self, port: LocalPort, now: float) -> None:
        self.connectivity.closed(port, now)
        self._ports.close(port)

    def send_from(self, port: LocalPort, now: float) -> None:
        """Our media leaves there from the next packet on: the network before is gone, or the peer has agreed."""
        if not self.connectivity.is_proven(port):
            self.connectivity.move(port, now, soft=False)

    def arrive(self, port: LocalPort, now: float) -> None:
        """The peer has agreed that we are there."""
        if not self.connectivity.leave_from(port):
            self.send_from(port, now)

    def prove(self, port: LocalPort, now: float) -> None:
        """Our media leaves there as soon as that way is proven, where the peer takes a move without signalling."""
        self.connectivity.move(port, now, soft=True)

    def stay_on(self, port: LocalPort, now: float) -> None:
        """The move did not work out: everything is at `port` again."""
        left = self._port
        self._port = port
        self.connectivity.move(port, now, soft=False)
        if left != port and self.paths.forget(left):
            self._close(left, now)

    def release(self, now: float) -> None:
        """Close ports that are not needed any more."""
        for port in self.paths.released(now):
            self._close(port, now)

    def close(self) -> None:
        for port in self.paths.ports:
            self._ports.close(port)

    # Inside

    def _local(self, ice: tuple[Attribute, ...] = ()) -> LocalMedia:
        return LocalMedia(self._port.address, attributes=ice)

    def _port_for(self, family: int | None, now: float) -> LocalPort:
        """Where an offer is answered: a peer that comes over IPv4 at an IPv4 address, also when the call began over
        IPv6. It may be a new port, which nothing uses yet: the offer has not been judged."""
        if family is None or family == self._port.address.family:
            return self._port
        there = [host for host in self._ports.hosts() if (":" in host[1]) == (family == 6)]
        if not there:
            return self._port
        try:
            return self._port_at(*there[0], now)
        except LocalError as error:
            self._trace.note("media", "no port in the peer's family", problem=str(error))
            return self._port

    def _adopt(self, agreement: MediaAgreement, octets: int, now: float, *, answer: bool) -> None:
        self._take_keys(now)
        self.session.use(agreement, now)
        self.connectivity.adopt(agreement, octets, now, answer=answer)

    def _take_keys(self, now: float) -> None:
        if self._keying is None:
            return
        for event in self._keying.events():
            if isinstance(event, KeysReady):
                self.session.install(event.keys, now)
            elif isinstance(event, KeyingFailed):
                self._trace.note("media", "no keys", problem=event.problem)
                if self.session.keys is None:
                    self.keying_problem = event.problem
            else:
                self.verification = event.verification


def _wishes(body: bytes) -> tuple[int | None, IceDescription | None, str, bool]:
    """The address family of the first audio part of a session description, what it says of ICE, its `a=mid`, and
    whether it has `a=rtcp-mux`."""
    try:
        description = parse_sdp(body)
        for part in description.media:
            connection = description.connection_of(part)
            if part.media == "audio" and part.port and connection is not None:
                host = connection.host()
                ice = read_ice(description, part, Address(host, part.port))
                return 6 if ":" in host else 4, ice, part.value("mid") or "", part.has("rtcp-mux")
    except RemoteError:
        pass
    return None, None, "", False
