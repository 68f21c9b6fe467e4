"""A whole phone on the event loop: the user agent with its hands. What the voice process runs, and a test.

Commands are methods, events go to `on_event` as JSON objects (`event_lines`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from segue.base.errors import LocalError
from segue.base.trace import NO_TRACE, Trace
from segue.call import events as say
from segue.call.call import Call
from segue.call.relays import RelayEvent, RelayFailed
from segue.mobility.observation import Fact
from segue.mobility.service import MobilityService
from segue.net.entropy import SystemEntropy
from segue.phone.config import PhoneConfig
from segue.phone.event_lines import describe, describe_message
from segue.phone.keys_file import KeysFile
from segue.phone.move_tone import BEGUN, ENDED, FAILED
from segue.phone.relaying import Relaying
from segue.phone.signalling import Signalling
from segue.phone.traversal_servers import StunServers
from segue.phone.user_agent import UserAgent
from segue.phone.voice import OpenSink, OpenSource, Sink, Source, Voice
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.message import Request, Response

if TYPE_CHECKING:
    from segue.net.tls import TlsClient

AT_ONCE = 0.001  # seconds: the soonest a deadline that is still in the past is looked at again
FAREWELL = 1.0  # seconds that hanging up and unregistering may take when the phone stops

OnEvent = Callable[[dict[str, Any]], None]


class Engine:
    """`open_source` and `open_sink` say where a call's sound comes from and goes to; by default as configured.
    `verbose` also tells of each SIP message."""

    def __init__(
        self,
        config: PhoneConfig,
        on_event: OnEvent,
        *,
        open_source: OpenSource | None = None,
        open_sink: OpenSink | None = None,
        verbose: bool = False,
        trace: Trace = NO_TRACE,
    ) -> None:
        self.config = config
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        entropy = SystemEntropy()
        self.voice = Voice(
            open_source or self._configured_source,
            open_sink or self._configured_sink,
            self._hosts,
            first_port=config.local_port,
            on_problem=self._tell_problem,
            on_news=self._take_news,
            on_facts=self._receive_facts,
            trace=trace,
        )
        self.agent = UserAgent(
            config, self.voice, entropy, wall_offset=time.time() - time.monotonic(), trace=trace
        )
        self.signalling = Signalling(
            self.agent,
            config.account,
            config.networks,
            entropy,
            self.settle,
            watch=self._watch if verbose else None,
            trace=trace,
        )
        self._relay_tls_client: TlsClient | None = None
        self._find_traversal_servers(entropy, trace)
        self._mobility = MobilityService(
            self._receive_facts, radio=config.networks.radio, on_problem=self._tell_lack
        )
        self._timer: asyncio.TimerHandle | None = None
        self._expired_at = 0.0
        self._settling = False
        self._keys_file = KeysFile(config.lab.keys_file) if config.lab.keys_file else None
        self._stopping = False
        self._answered = asyncio.Event()  # when the phone stops: nothing is waited for any more

    def _find_traversal_servers(self, entropy: SystemEntropy, trace: Trace) -> None:
        """STUN servers, and the hands of relays, where some are configured."""
        networks, resolver = self.config.networks, self.signalling.resolver
        stun = [*networks.stun, *(server.uri for server in networks.relays)]
        if stun:
            self.voice.stun = StunServers(stun, resolver, trace=trace)
        if networks.relays:
            self.voice.relaying = Relaying(
                networks.relays,
                entropy,
                send=self.voice.send_datagram,
                is_here=self.voice.is_here,
                deliver=self.voice.receive_relayed,
                on_event=self._take_relay_event,
                resolver=resolver,
                tls=self._relay_tls,
                families=(networks.family,) if networks.family else (4, 6),
                trace=trace,
            )

    def _relay_tls(self) -> TlsClient:
        """Who we are as a phone is not a relay's business: it gets a name and password, and no certificate."""
        if self._relay_tls_client is None:
            from segue.net.tls import TlsClient, TlsOptions

            self._relay_tls_client = TlsClient(TlsOptions(self.config.account.ca))
        return self._relay_tls_client

    # Life

    def start(self) -> None:
        """Look at the networks, find the server, register."""
        self._mobility.start()
        self.settle()

    async def stop(self) -> None:
        """Hang up, take the registration back, close everything."""
        self._stopping = True
        now = self._loop.time()
        for call_id in list(self.agent.calls):
            self.agent.hang_up(call_id, now)
        self.agent.unregister(now)
        self.settle()
        try:
            await asyncio.wait_for(self._answered.wait(), FAREWELL)
        except TimeoutError:
            pass
        self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._mobility.close()
        self.voice.close_all()
        if self.voice.stun is not None:
            self.voice.stun.close()
        self.signalling.close()

    # Commands

    def call(self, target: str) -> None:
        self.agent.call(target, self._loop.time())
        self.settle()

    def answer(self, call_id: str) -> None:
        self.agent.answer(call_id, self._loop.time())
        call = self.agent.calls.get(call_id)
        if call is not None and call.sounds:
            self._start_sound(call)  # the caller may speak before its ACK is here
        self.settle()

    def reject(self, call_id: str, status: int = 603) -> None:
        self.agent.reject(call_id, status, self._loop.time())
        self.settle()

    def hang_up(self, call_id: str) -> None:
        self.agent.hang_up(call_id, self._loop.time())
        self.settle()

    def hold(self, call_id: str) -> None:
        self.agent.hold(call_id, self._loop.time())
        self.settle()

    def resume(self, call_id: str) -> None:
        self.agent.resume(call_id, self._loop.time())
        self.settle()

    def press(self, call_id: str, digits: str) -> None:
        self.agent.press(call_id, digits)

    # The drain rule, for everything at once

    def settle(self) -> None:
        """After each command and each input: carry out what the agent wants, tell what it says, set the timer."""
        if self._settling:
            return
        self._settling = True
        try:
            self._drain()
        finally:
            self._settling = False
            self._arm()
        self.voice.heeds_speech = self.agent.conductor.heeds_speech
        self.voice.send_control(self.agent.calls.values())
        if self._stopping and not self.agent.waiting:
            self._answered.set()

    def _drain(self) -> None:
        agent = self.agent
        while True:
            wishes, octets, events = agent.flow_wishes(), agent.transmits(), agent.events()
            for flow, data in octets:
                self.signalling.send(flow, data)
            for wish in wishes:
                self.signalling.carry_out(wish)
            self.voice.own(agent.calls.values())
            self._note_keys()
            for event in events:
                self._take(event)
            if not (wishes or octets or events):
                return

    def _arm(self) -> None:
        deadline = self.agent.deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(max(deadline, self._expired_at + AT_ONCE), self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._expired_at = self._loop.time()
        try:
            # The loop may wake by its clock's resolution too early.
            self.agent.expire(self._expired_at + AT_ONCE / 2)
        finally:
            self.settle()

    # Events

    def _take(self, event: say.CallEvent) -> None:
        now = self._loop.time()
        if isinstance(event, say.Up | say.EarlyMedia):
            call = self.agent.calls.get(event.call_id)
            if call is not None:
                self._start_sound(call)
        ended = self.agent.calls.get(event.call_id) if isinstance(event, say.Ended) else None
        if ended is not None:
            self.voice.stop(ended, now)  # first: who hears of the end may read the recording
        if self.config.sound.move_tone and isinstance(event, say.MoveBegun | say.MoveEnded):
            self.voice.sound_tone(event.call_id, _pitch(event))
        self._tell(self._described(event))
        if ended is not None:
            self._tell_statistics(ended)
            self.agent.forget(ended.id)
            if self._keys_file is not None:
                self._keys_file.forget(ended.id)

    def _described(self, event: say.CallEvent) -> dict[str, Any]:
        line = describe(event, time.time())
        if isinstance(event, say.RegistrationFailed) and event.status is None:
            # Why there is no connection, and whether it is for the user to change.
            error = self.signalling.problems.get(event.interface)
            line["remedy"] = error.remedy if isinstance(error, LocalError) else ""
            line["problem"] = getattr(error, "problem", "") or event.problem
            line["local"] = isinstance(error, LocalError)
        return line

    def _start_sound(self, call: Call) -> None:
        try:
            self.voice.start(call)
        except LocalError as error:
            self._tell_problem(call, error)
            self.agent.hang_up(call.id, self._loop.time())

    def _tell_problem(self, call: Call, error: LocalError) -> None:
        """Something of this call's does not work on this machine."""
        self._tell_trouble("problem", call.id, error)

    def _tell_lack(self, error: LocalError) -> None:
        """The phone goes on without something that this machine does not have."""
        self._tell_trouble("lack", "", error)

    def _tell_trouble(self, event: str, call_id: str, error: LocalError) -> None:
        self._tell(
            {
                "event": event,
                "time": round(time.time(), 6),
                "call_id": call_id,
                "problem": error.problem,
                "remedy": error.remedy,
            }
        )

    def _tell(self, line: dict[str, Any]) -> None:
        self._on_event(line)

    def _tell_statistics(self, call: Call) -> None:
        session = call.media.session
        if session.statistics is not None:
            facts = vars(session.statistics) | vars(session.repair_statistics)
            self._tell(
                {
                    "event": "statistics",
                    "time": round(time.time(), 6),
                    "call_id": call.id,
                    "lost_ticks": self.voice.lost_ticks,
                    "busy_ticks": self.voice.busy_ticks,
                    **facts,
                }
            )

    def _take_relay_event(self, call_id: str, event: RelayEvent) -> None:
        if isinstance(event, RelayFailed):
            facts = {"relay": event.server.uri, "interface": event.base.interface, "why": event.why}
            line = {"event": "relay_failed", "time": round(time.time(), 6), "call_id": call_id}
            self._tell(line | facts | {"code": event.code})
        self.voice.take_relay_event(call_id, event)

    def _watch(self, direction: str, flow: Flow, message: Request | Response) -> None:
        self._tell(describe_message(direction, flow, message, time.time()))

    def _take_news(self) -> None:
        self.agent.settle(self._loop.time())
        self.settle()

    # Networks

    def _receive_facts(self, facts: Sequence[Fact], now: float) -> None:
        for fact in facts:
            self.agent.receive_fact(fact, now)
        self.agent.settle(now)
        if self.voice.stun is not None:
            self.voice.stun.look_up((each.interface, each.family) for each in self.agent.attachments())
        self.settle()

    def _hosts(self) -> list[tuple[str, str]]:
        active = self.agent.conductor.active
        usable = sorted(
            self.agent.attachments(), key=lambda a: active is None or a.interface != active.interface
        )
        return [(attachment.interface, attachment.address) for attachment in usable]

    # Sound

    def _configured_source(self, _call: Call, rate: int) -> Source:
        from segue.devices.open import open_source

        return open_source(self.config.sound.audio_in, rate)

    def _configured_sink(self, _call: Call, rate: int) -> Sink:
        from segue.devices.open import open_sink

        return open_sink(self.config.sound.audio_out, rate)

    def _note_keys(self) -> None:
        """What any exchange may have changed: the lab's captures are decrypted with it."""
        if self._keys_file is not None:
            for call in self.agent.calls.values():
                self._keys_file.note(call.id, call.media.session.keys)


def _pitch(event: say.MoveBegun | say.MoveEnded) -> float:
    if isinstance(event, say.MoveBegun):
        return BEGUN
    return ENDED if event.ok else FAILED
