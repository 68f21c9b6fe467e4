"""A TURN client (RFC 8656): one allocation on one server, kept alive, moved (RFC 8016) and given back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from segue.base.address import Address, Path
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ALTERNATE_DOMAIN,
    ALTERNATE_SERVER,
    CHANNEL_NUMBER,
    DATA,
    ICMP,
    LIFETIME,
    MOBILITY_TICKET,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Attribute,
    ErrorCode,
)
from segue.protocols.stun.credentials import LongTermCredentials
from segue.protocols.stun.message import TRANSACTION, Class, Method, StunMessage, parse_stun
from segue.protocols.stun.transaction import DEFAULT_TIMERS, ClientTransaction, RetransmissionTimeout, Timers
from segue.protocols.turn.channel_data import is_channel_data, parse_channel_data, write_channel_data
from segue.protocols.turn.events import (
    Allocated,
    AllocationFailed,
    Moved,
    MoveFailed,
    PeerRefused,
    PeerUnreachable,
    Redirected,
    TurnEvent,
)
from segue.protocols.turn.peers import Peers

UDP = 17  # REQUESTED-TRANSPORT: what the server speaks with peers (section 18.8)
REFRESH_BEFORE = 60.0  # seconds before an allocation expires (section 8)
KEEP_ALIVE = 15.0  # seconds of silence after which a NAT is reminded of us (RFC 8445 section 11)
MOVE_RTO = 0.15  # seconds, at least, until the request of a move is sent again
TRIES = 4  # times that a request is made anew because of a challenge
HOSTS_A_REQUEST = 16
_MEDIA = 20  # first octets from here are DTLS, RTP and RTCP (RFC 7983): they get a channel
NO_ANSWER = "the relay does not answer"
UNPROVEN = "the relay's answers do not prove who it is"
MALFORMED = "the relay's answer makes no sense"
WRONG_CREDENTIALS = "the relay refuses the name or password"

Attributes = list[tuple[Attribute[Any], Any]]


@dataclass(slots=True)
class _Request:
    """`peers`: hosts (permissions), or the peer of a channel. `unproven`: answers came that were none."""

    message: StunMessage
    transaction: ClientTransaction
    path: Path
    tries: int = 0
    peers: tuple[str, ...] | Address | None = None
    unproven: bool = False


class TurnClient:
    """A `Machine` whose datagrams are those to and from the server; a path is our port and the server.

    `reliable`: the path is a stream; give and take whole messages (`TurnStream`). `secure`: TLS has proven the
    server. `families`: of the relayed addresses that are wanted; a server may have one of two. `mobility`: ask for
    a ticket, so that `move` keeps the relayed addresses.
    """

    def __init__(
        self,
        path: Path,
        credentials: LongTermCredentials,
        entropy: Entropy,
        now: float,
        *,
        reliable: bool = False,
        secure: bool = False,
        families: tuple[int, ...] = (4, 6),
        mobility: bool = True,
        timers: Timers = DEFAULT_TIMERS,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.path = path
        self.relayed: dict[int, Address] = {}  # by family
        self.over = False
        self._credentials = credentials
        self._entropy = entropy
        self._reliable = {path: reliable}
        self._secure = secure
        self._timers = timers
        self._timeout, self._move_timeout = RetransmissionTimeout(timers.rto), RetransmissionTimeout(MOVE_RTO)
        self._trace = trace
        self._peers = Peers()
        self._requests: dict[bytes, _Request] = {}
        self._out: list[tuple[Path, bytes]] = []
        self._events: list[TurnEvent] = []
        self._ticket = b""
        self._refresh_at: float | None = None
        self._expires_at = now
        self._sent_at = now
        self._ask(Method.ALLOCATE, self._wishes(families, mobility), now)

    def _wishes(self, families: tuple[int, ...], mobility: bool) -> Attributes:
        """Section 7.1; RFC 8016 section 3.1.1."""
        wishes: Attributes = [(REQUESTED_TRANSPORT, UDP)]
        if set(families) == {4, 6}:
            wishes.append((ADDITIONAL_ADDRESS_FAMILY, 6))
        elif families == (6,):
            wishes.append((REQUESTED_ADDRESS_FAMILY, 6))
        if mobility:
            wishes.append((MOBILITY_TICKET, b""))
        return wishes

    # Commands

    def permit(self, hosts: Iterable[str], now: float) -> None:
        """These may send to us from now on. Asked for when there is an allocation."""
        for host in hosts:
            self._peers.want(host, now)
        self._ask_peers(now)

    def send(self, peer: Address, octets: bytes, now: float) -> None:
        """Data to a peer, in `transmits`; nothing without a relayed address of its family. What is no STUN gets a
        channel, which costs 4 octets a packet instead of 36 or more."""
        if peer.family not in self.relayed or self.over:
            self._trace.drop("turn", "no relayed address of this family", peer=peer)
            return
        self._sent_at = now
        number = self._peers.channel(peer)
        if number is not None:
            padded = self._reliable[self.path]
            self._out.append((self.path, write_channel_data(number, octets, padded=padded)))
            return
        if octets[:1] and octets[0] >= _MEDIA:
            self._bind(peer, now)
        self._peers.want(peer.host, now)
        self._ask_peers(now)
        # Sent right behind the request that permits it: the server takes one after the other.
        message = StunMessage(Class.INDICATION, Method.SEND, self._entropy.octets(TRANSACTION))
        message.add(XOR_PEER_ADDRESS, peer).add(DATA, octets)
        self._out.append((self.path, message.write()))

    def move(self, path: Path, now: float, *, reliable: bool = False) -> None:
        """We are elsewhere: the allocation is to follow (RFC 8016 section 3.2). Data goes by the path before until
        the server has agreed; `Moved` or `MoveFailed` follows."""
        self._abandon_moves()
        if not self._ticket or self.over:
            self._events.append(MoveFailed(path, "the relay cannot follow a move"))
            return
        self._reliable[path] = reliable
        self._ask(Method.REFRESH, [(MOBILITY_TICKET, self._ticket)], now, path=path)

    def close(self, now: float) -> None:
        """Give the allocation back (section 8.1): one request, for whose answer nobody needs to wait."""
        if self.relayed and not self.over:
            self._ask(Method.REFRESH, [(LIFETIME, 0)], now)
        self._end()

    # Data from peers

    def unwrap(self, datagram: bytes) -> tuple[Address, bytes] | None:
        """Peer and data, when a datagram from the server is that; `receive` takes every other."""
        try:
            if is_channel_data(datagram):
                number, octets = parse_channel_data(datagram)
                peer = self._peers.peer(number)
                return None if peer is None or self.over else (peer, octets)
            if datagram[:2] != b"\0\x17":  # a Data indication
                return None
            message = parse_stun(datagram)
        except RemoteError:
            return None
        peer, data = message.get(XOR_PEER_ADDRESS), message.get(DATA)
        if peer is None or data is None or message.unknown or not self._peers.permits(peer.host):
            return None
        return peer, data

    # The five verbs

    def receive(self, datagram: bytes, source: Path, now: float) -> None:
        try:
            message = parse_stun(datagram)
        except RemoteError as error:
            self._trace.drop("turn", error.problem)
            return
        if message.kind is Class.INDICATION:
            self._receive_indication(message)
            return
        request = self._requests.get(message.transaction)
        if request is None or request.path != source or message.method is not request.message.method:
            self._trace.drop("turn", "no such transaction")
            return
        error_code = message.error
        if error_code is not None and error_code.code in (401, 438):
            self._challenged(request, message, error_code, now)
        elif not self._credentials.accepts(message):
            self._unproven(request, now)
        else:
            del self._requests[message.transaction]
            self._answered(request, message, now)

    def transmits(self) -> list[tuple[Path, bytes]]:
        out, self._out = self._out, []
        return out

    def deadline(self) -> float | None:
        if self.over and not self._requests:
            return None
        keep_alive = None if self._reliable[self.path] or self.over else self._sent_at + KEEP_ALIVE
        peers = self._peers.deadline() if self.relayed and not self.over else None
        timers = (request.transaction.deadline() for request in self._requests.values())
        return earliest(self._refresh_at, keep_alive, peers, *timers)

    def expire(self, now: float) -> None:
        for request in list(self._requests.values()):
            request.transaction.expire(now)
            self._drain(request)
            if request.transaction.failed and request.message.transaction in self._requests:
                del self._requests[request.message.transaction]
                self._unanswered(request, now)
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._ask(Method.REFRESH, [], now)
        self._ask_peers(now)
        if not (self.over or self._reliable[self.path]) and now >= self._sent_at + KEEP_ALIVE:
            self._sent_at = now
            reminder = StunMessage(Class.INDICATION, Method.BINDING, self._entropy.octets(TRANSACTION))
            self._out.append((self.path, reminder.write()))

    def events(self) -> list[TurnEvent]:
        events, self._events = self._events, []
        return events

    # Requests

    def _ask(
        self,
        method: Method,
        attributes: Attributes,
        now: float,
        *,
        path: Path | None = None,
        tries: int = 0,
        peers: tuple[str, ...] | Address | None = None,
    ) -> None:
        path = path or self.path
        message = StunMessage(Class.REQUEST, method, self._entropy.octets(TRANSACTION), attributes)
        # A call waits for a move, and a server's timing is known: a lost request is repeated as soon as it can be.
        timeout = self._timeout if path == self.path else self._move_timeout
        timers = replace(self._timers, rto=timeout.value(now), reliable=self._reliable[path])
        transaction = ClientTransaction(message.transaction, self._credentials.write(message), now, timers)
        request = _Request(message, transaction, path, tries, peers)
        self._requests[message.transaction] = request
        self._sent_at = now
        self._drain(request)

    def _drain(self, request: _Request) -> None:
        self._out += [(request.path, octets) for octets in request.transaction.transmits()]

    def _ask_peers(self, now: float) -> None:
        """Permissions and channels that are due (sections 10.1 and 12.1); those of families that are not relayed
        would be refused."""
        if not self.relayed or self.over:
            return
        for peer, number in self._peers.due_channels(now):
            self._ask_channel(peer, number, now)
        while hosts := self._peers.due_permissions(now, HOSTS_A_REQUEST):
            peers = [Address(host, 0) for host in hosts]
            wanted = [peer for peer in peers if peer.family in self.relayed]
            if wanted:
                attributes: Attributes = [(XOR_PEER_ADDRESS, peer) for peer in wanted]
                self._ask(
                    Method.CREATE_PERMISSION, attributes, now, peers=tuple(peer.host for peer in wanted)
                )

    def _bind(self, peer: Address, now: float) -> None:
        number = self._peers.new_channel(peer, now)
        if number is not None:
            self._ask_channel(peer, number, now)

    def _ask_channel(self, peer: Address, number: int, now: float) -> None:
        attributes: Attributes = [(CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, peer)]
        self._ask(Method.CHANNEL_BIND, attributes, now, peers=peer)

    def _abandon_moves(self) -> None:
        for transaction, request in list(self._requests.items()):
            if request.path != self.path:
                del self._requests[transaction]
        self._reliable = {self.path: self._reliable[self.path]}

    # Answers

    def _challenged(self, request: _Request, message: StunMessage, error: ErrorCode, now: float) -> None:
        """401 and 438 (RFC 8489 section 9.2.5)."""
        del self._requests[message.transaction]
        if request.tries < TRIES and self._credentials.challenged(message):
            self._ask(
                request.message.method,
                request.message.attributes,
                now,
                path=request.path,
                tries=request.tries + 1,
                peers=request.peers,
            )
        else:
            self._failed(request, WRONG_CREDENTIALS, error.code, now)

    def _unproven(self, request: _Request, now: float) -> None:
        """RFC 8489 section 9.2.5: over datagrams as if it had never come."""
        self._trace.drop("turn", "unproven response", method=request.message.method.name)
        request.unproven = True
        if self._reliable[request.path]:
            del self._requests[request.message.transaction]
            self._failed(request, UNPROVEN, 0, now)

    def _answered(self, request: _Request, message: StunMessage, now: float) -> None:
        round_trip = request.transaction.round_trip(now)
        if round_trip is not None and not self._reliable[request.path]:
            self._timeout.measured(round_trip, now)
            self._move_timeout.measured(round_trip, now)
        error = message.error
        method, peers = request.message.method, request.peers
        if message.unknown or (message.kind is Class.ERROR and error is None):
            self._failed(request, MALFORMED, 0, now)
        elif error is not None and message.kind is Class.ERROR:
            self._refused(request, message, error, now)
        elif method is Method.ALLOCATE:
            self._allocated(request, message, now)
        elif method is Method.REFRESH:
            self._refreshed(request, message, now)
        elif isinstance(peers, Address):
            self._peers.bound(peers, now)
        else:
            for host in peers or ():
                self._peers.granted(host, now)

    def _allocated(self, request: _Request, message: StunMessage, now: float) -> None:
        """Section 7.3."""
        mapped, lifetime = message.get(XOR_MAPPED_ADDRESS), message.get(LIFETIME)
        relayed = {address.family: address for address in reversed(message.all(XOR_RELAYED_ADDRESS))}
        if not relayed or mapped is None or not lifetime:
            self._failed(request, MALFORMED, 0, now)
            return
        self.relayed = dict(sorted(relayed.items()))
        self._keep(lifetime, message, now)
        self._events.append(Allocated(tuple(self.relayed.values()), mapped, bool(self._ticket)))
        self._ask_peers(now)

    def _refreshed(self, request: _Request, message: StunMessage, now: float) -> None:
        """Section 8.3; RFC 8016 section 3.2.3."""
        lifetime = message.get(LIFETIME)
        if not lifetime:
            self._failed(request, MALFORMED, 0, now)
            return
        self._keep(lifetime, message, now)
        if request.path != self.path:
            self.path = request.path
            self._abandon_moves()
            self._events.append(Moved(self.path))

    def _keep(self, lifetime: int, message: StunMessage, now: float) -> None:
        self._expires_at = now + lifetime
        self._refresh_at = now + max(lifetime - REFRESH_BEFORE, lifetime / 2)
        self._ticket = message.get(MOBILITY_TICKET) or self._ticket

    def _refused(self, request: _Request, message: StunMessage, error: ErrorCode, now: float) -> None:
        server = message.get(ALTERNATE_SERVER)
        if error.code == 300 and not (self._secure or self._credentials.key):
            self._failed(request, UNPROVEN, 300, now)  # RFC 8489 section 14.8: or anybody sends us anywhere
        elif error.code == 300 and server is not None and request.message.method is Method.ALLOCATE:
            self._events.append(Redirected(server, message.get(ALTERNATE_DOMAIN) or ""))
            self._end()
        elif (
            error.code == 405
            and request.message.method is Method.ALLOCATE
            and request.message.get(MOBILITY_TICKET) is not None
        ):
            wishes = [wish for wish in request.message.attributes if wish[0] is not MOBILITY_TICKET]
            self._ask(Method.ALLOCATE, wishes, now, tries=TRIES - 1)  # RFC 8016 section 3.1.4
        else:
            self._failed(request, f"the relay refuses: {error.reason or 'no reason'}", error.code, now)

    def _failed(self, request: _Request, why: str, code: int, now: float) -> None:
        """A request that is over without success."""
        peers = request.peers
        if self.over:
            return
        if request.path != self.path:
            self._events.append(MoveFailed(request.path, why, code))
        elif code == 437 or peers is None:  # no such allocation, or it could not be made or refreshed
            self._events.append(AllocationFailed(why, code))
            self._end()
        elif isinstance(peers, Address):
            self._peers.unbound(peers, now)
            self._ask_peers(now)
        else:
            for host in peers:
                self._peers.refused(host, now)
                self._events.append(PeerRefused(host, code, why))

    def _unanswered(self, request: _Request, now: float) -> None:
        """In time. What exists is asked for again as long as the server may remember it."""
        method, peers = request.message.method, request.peers
        if request.path == self.path and self.relayed and now < self._expires_at:
            if isinstance(peers, Address):
                self._peers.unbound(peers, now)
            elif peers is not None:
                self._peers.again(peers, now)
            elif method is Method.REFRESH:
                self._ask(Method.REFRESH, [], now)
            self._ask_peers(now)
        else:
            self._failed(request, UNPROVEN if request.unproven else NO_ANSWER, 0, now)

    def _receive_indication(self, message: StunMessage) -> None:
        """Of those that carry no data (section 11.6)."""
        peer, icmp = message.get(XOR_PEER_ADDRESS), message.get(ICMP)
        if message.method is Method.DATA and peer and icmp and self._peers.permits(peer.host):
            self._events.append(PeerUnreachable(peer, icmp))
        else:
            self._trace.drop("turn", "an indication that says nothing")

    def _end(self) -> None:
        """Nothing is asked any more; what has just been asked leaves still, and is not repeated."""
        self.over = True
        self.relayed = {}
        self._requests.clear()
        self._refresh_at = None
