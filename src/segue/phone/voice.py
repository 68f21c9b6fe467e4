"""The hands of a phone's sound: media sockets, the packet clock, and the devices of each call."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from segue.base.address import Address, LocalPort, Path
from segue.base.errors import LocalError
from segue.base.frame import Frame
from segue.base.trace import NO_TRACE, Trace
from segue.call.call import Call, CallState
from segue.call.path import rtcp_port
from segue.call.relays import RelayedPort, RelayedPortGone, RelayedPortMoved, RelayEvent
from segue.net.packet_clock import PacketClock
from segue.net.udp import UdpSocket, open_pair
from segue.phone.attention import Attention
from segue.phone.move_tone import MoveTone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segue.mobility.observation import CallFact
    from segue.phone.relaying import Relaying
    from segue.phone.traversal_servers import StunServers

PERIOD = 0.02  # seconds
CATCH_UP = 10  # frames at most that are made at once after the process slept
SWEEP = 3000  # ticks: a minute


class Source(Protocol):
    rate: int
    finished: bool

    def read(self) -> Frame: ...

    def close(self) -> None: ...


class Sink(Protocol):
    rate: int

    def write(self, frame: Frame) -> None: ...

    def close(self) -> None: ...


OpenSource = Callable[[Call, int], Source]
OpenSink = Callable[[Call, int], Sink]


@dataclass
class _Speech:
    """A call whose sound runs."""

    call: Call
    source: Source
    sink: Sink
    attention: Attention
    tone: MoveTone


class Voice:
    """Implements `call.call_media.Ports`. `first_port`: where to look for free ports; 0: the kernel chooses.
    `on_problem` is told when a call's sink can take no more; the call goes on.
    `on_news` when there is something on the media path that is for more than the ear: pressed keys, a handshake,
    packets to be asked for. `on_facts` hears what the sound says about networks; with `heeds_speech` also whether
    somebody speaks."""

    def __init__(
        self,
        open_source: OpenSource,
        open_sink: OpenSink,
        hosts: Callable[[], list[tuple[str, str]]],
        *,
        first_port: int = 0,
        on_problem: Callable[[Call, LocalError], None] | None = None,
        on_news: Callable[[], None] | None = None,
        on_facts: Callable[[list[CallFact], float], None] | None = None,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._on_problem = on_problem
        self._on_news = on_news
        self._on_facts = on_facts
        self.heeds_speech = False
        self._open_source = open_source
        self._open_sink = open_sink
        self._hosts = hosts
        self._first_port = first_port
        self._trace = trace
        self._sockets: dict[LocalPort, UdpSocket] = {}  # of RTP and of RTCP
        self._owners: dict[LocalPort, Call] = {}
        self._speeches: dict[str, _Speech] = {}
        self._loop = asyncio.get_running_loop()
        self._clock = PacketClock(PERIOD, self._tick)
        self.relaying: Relaying | None = None  # where there are relays
        self.stun: StunServers | None = None
        self._unswept = 0  # ticks
        self.lost_ticks = 0
        self.busy_ticks = 0  # of these: lost while we were at work ourselves

    # Ports

    def open(self, interface: str, host: str) -> LocalPort:
        """Two sockets on adjacent ports, bound to the interface. Raises LocalError."""
        first = self._first_port
        ports = range(first + first % 2, min(first + 200, 65534), 2) if first else None
        places: list[LocalPort] = []
        rtp, rtcp = open_pair(
            host,
            interface,
            ports,
            on_rtp=lambda octets, source, now: self._receive(places[0], places[0], octets, source, now),
            on_rtcp=lambda octets, source, now: self._receive(places[0], places[1], octets, source, now),
            trace=self._trace,
        )
        for socket in (rtp, rtcp):
            place = LocalPort(interface, socket.local)
            places.append(place)
            self._sockets[place] = socket
        return places[0]

    def close(self, port: LocalPort) -> None:
        self._owners.pop(port, None)
        if self.relaying is not None:
            self.relaying.closed(port, gone=not self.is_here(port))
        for place in (port, rtcp_port(port)):
            if (socket := self._sockets.pop(place, None)) is not None:
                socket.close()

    def hosts(self) -> list[tuple[str, str]]:
        return self._hosts()

    def is_here(self, port: LocalPort) -> bool:
        """Whether its network can be used."""
        return (port.interface, port.address.host) in self._hosts()

    def stun_servers(self) -> tuple[Address, ...]:
        return self.stun.addresses if self.stun is not None else ()

    # Calls

    def start(self, call: Call) -> None:
        """Sound begins. Harmless when it runs. Raises LocalError when a device cannot be opened."""
        if call.id in self._speeches:
            return
        source = self._open_source(call, call.media.session.rate)
        try:
            sink = self._open_sink(call, call.media.session.play_rate)
        except LocalError:
            source.close()
            raise
        if not self._speeches:
            # The heap is as large as it gets: collecting it again and again would only stop the voice. What comes
            # to it during the call is little, and swept up right after a tick.
            gc.collect()
            gc.freeze()
            gc.disable()
            self._clock.start()
        self._speeches[call.id] = _Speech(call, source, sink, Attention(call), MoveTone())

    def stop(self, call: Call, now: float) -> None:
        """Sound ends, and the peer's RTCP is told so, if there ever was any."""
        speech = self._speeches.pop(call.id, None)
        if speech is not None:
            for octets in call.media.session.bye(now):
                self._send_report(call, octets)
            speech.source.close()
            speech.sink.close()
        if not self._speeches:
            self.lost_ticks += self._clock.lost
            self.busy_ticks += self._clock.busy
            self._clock.stop()
            gc.enable()

    def sound_tone(self, call_id: str, pitch: float) -> None:
        """In our own ear only."""
        speech = self._speeches.get(call_id)
        if speech is not None:
            speech.tone.sound(pitch)

    def finished(self, call_id: str) -> bool:
        """Whether all of the source has been sent."""
        speech = self._speeches.get(call_id)
        return speech is not None and speech.source.finished

    def close_all(self) -> None:
        self._clock.close()
        if self.relaying is not None:
            self.relaying.close()
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
        gc.enable()

    def send_control(self, calls: Iterable[Call]) -> None:
        """Send what RTCP and key agreements have to say. While a call rings its reports are dropped: the address in
        an INVITE is anybody's, and the user has not accepted."""
        for call in calls:
            for path, octets in call.media.transmits():
                self._send(path, octets)
            reports = call.media.session.transmits()
            for octets in reports if call.sounds else ():
                self._send_report(call, octets)

    def own(self, calls: Iterable[Call]) -> None:
        """Note which call each port belongs to, after ports may have been opened."""
        calls = list(calls)
        before, self._owners = self._owners, {port: call for call in calls for port in call.media.paths.ports}
        if self.relaying is not None:
            self.relaying.calls_are({call.id for call in calls})
            for port, call in self._owners.items():
                if port not in before and port in self._sockets:
                    self.relaying.opened(port, call.id)

    # The packet path

    def _receive(self, port: LocalPort, place: LocalPort, octets: bytes, source: Address, now: float) -> None:
        """`place` is the one of the two that belong to `port` at which this came."""
        call = self._owners.get(port)
        if call is None:
            self._trace.drop("voice", "no call at this port", source=source)
            return
        path = Path(*place, source)
        if self.relaying is not None:
            found = self.relaying.receive(path, octets, now)
            if found is None:
                return
            path, octets = found
        self._take(call, path, octets, now)

    def receive_relayed(self, call_id: str, path: Path, octets: bytes, now: float) -> None:
        """What came over a stream to a relay."""
        call = next((each for each in self._owners.values() if each.id == call_id), None)
        if call is not None:
            self._take(call, path, octets, now)

    def take_relay_event(self, call_id: str, event: RelayEvent) -> None:
        """Of the relays, about ports of a call."""
        call = next((each for each in self._owners.values() if each.id == call_id), None)
        base = self.relaying.media_port(event.base) if self.relaying is not None else None
        now = self._loop.time()
        if call is None or base is None:
            return
        if isinstance(event, RelayedPort):
            call.media.relayed(event.port, base, event.mapped, event.follows, now)
        elif isinstance(event, RelayedPortMoved):
            call.media.relay_moved(event.port, base)
        elif isinstance(event, RelayedPortGone):
            call.media.relay_gone(event.port, now)
        self._tell_news(call)

    def _take(self, call: Call, path: Path, octets: bytes, now: float) -> None:
        authentic = call.media.receive(octets, path, now)
        speech = self._speeches.get(call.id) if authentic else None
        if speech is not None:
            speech.attention.received(path.interface, octets, now)
        self._tell_news(call)

    def _tell_news(self, call: Call) -> None:
        if self._on_news is not None and call.media.has_news():
            self._on_news()

    def _tell_facts(self, attention: Attention, now: float) -> None:
        facts = attention.facts()
        if facts and self._on_facts is not None:
            self._on_facts(facts, now)

    def _tick(self, expirations: int) -> None:
        now = self._loop.time()
        for _ in range(min(expirations, CATCH_UP)):
            for speech in list(self._speeches.values()):
                self._speak(speech, now)
        for speech in list(self._speeches.values()):
            speech.attention.tick(now)
            self._tell_facts(speech.attention, now)
        self._unswept += expirations
        if self._unswept >= SWEEP:
            self._unswept = 0
            gc.collect()  # of what is not frozen: 0.3 ms

    def _speak(self, speech: _Speech, now: float) -> None:
        call = speech.call
        session = call.media.session
        spoken = speech.source.read()
        packet = session.send(spoken, now)
        if packet is not None:
            for path in call.media.ways(len(packet), now):
                self._send(path, packet)
        for path, late in call.media.late(now):
            self._send(path, late)
        self._tell_news(call)
        frame = session.play(now)
        if self.heeds_speech:
            speech.attention.listen(spoken, frame)
        else:
            speech.attention.rest()
        if frame is not None and call.state is not CallState.ENDED:
            self._play(speech, speech.tone.mix(frame))

    def _play(self, speech: _Speech, frame: Frame) -> None:
        try:
            speech.sink.write(frame)
        except LocalError as error:  # a full disk; it is said once, and what comes after is dropped
            if self._on_problem is not None:
                self._on_problem(speech.call, error)

    def _send(self, path: Path, octets: bytes) -> None:
        socket = self._sockets.get(path.port)
        if socket is not None:
            socket.send(octets, path.remote)
        elif self.relaying is not None:
            self.relaying.send(path, octets)

    def send_datagram(self, path: Path, octets: bytes) -> None:
        """From a media port that is there."""
        socket = self._sockets.get(path.port)
        if socket is not None:
            socket.send(octets, path.remote)

    def _send_report(self, call: Call, octets: bytes) -> None:
        for path in call.media.report_ways():
            self._send(path, octets)
