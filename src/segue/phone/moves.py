"""Carries out moves: the conductor says where to, `sip_strategy` plans, calls and flows do the steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segue.base.errors import LocalError
from segue.base.machine import earliest
from segue.call import events as say
from segue.call.call import Call
from segue.call.call import CallState as State
from segue.call.flows import Origin
from segue.mobility.conductor import CheckWanted, MoveExpected, MoveWanted, Offline, OriginLost, WarmUp
from segue.mobility.observation import Attachment
from segue.mobility.plan import Step
from segue.mobility.policy import Decision, Kind
from segue.mobility.sip_strategy import CallState, plan
from segue.protocols.sip.flow import Flow
from segue.protocols.sip.session_states import SessionState

if TYPE_CHECKING:
    from segue.phone.user_agent import UserAgent

OPEN_AGAIN = 0.5  # seconds until a port is asked for again
LIMIT = 4.0  # seconds after which a move that got nowhere is given up, where there is something else

_STATES = {
    State.DIALLING: CallState.UNANSWERED,
    State.RINGING_OUT: CallState.UNANSWERED,
    State.RINGING_IN: CallState.UNANSWERED,
    State.UP: CallState.UP,
    State.ENDED: CallState.ENDING,
}


class Moves:
    """`origin` is the attachment in use, or the one that a move goes to."""

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self._decision: Decision | None = None
        self._began_at = 0.0
        self._came_from = ""  # interface and address
        self._unmoved: list[Call] = []  # calls that have no port on the new network yet
        self._open_again_at: float | None = None
        self.origin: Origin | None = None

    @property
    def calls_from(self) -> Origin | None:
        """Where new calls start. While a soft move is under way that is where it comes from, if that has a flow: what
        it goes to may carry nothing."""
        active = self._agent.conductor.active
        if self._decision is not None and self._kind is Kind.SOFT and active is not None:
            before = _origin(active)
            if self._agent.flows.flow(before) is not None:
                return before
        return self.origin

    def settle(self, now: float) -> bool:
        """Carry out what the conductor wants now; True when there was something."""
        self._keep_flows(now)
        events = self._agent.conductor.events()
        for event in events:
            if isinstance(event, MoveWanted):
                self._begin(event, now)
            elif isinstance(event, OriginLost):
                self._harden(now)
            elif isinstance(event, MoveExpected):
                self._expect(event, now)
            elif isinstance(event, CheckWanted | WarmUp):
                self._agent.flows.probe(_origin(event.attachment), now)
            elif isinstance(event, Offline):
                self._lose_link(event.origin, now)
                self._decision = None
                self._unmoved, self._open_again_at = [], None
        self._rescue(now)
        return bool(events)

    def _lose_link(self, origin: Attachment, now: float) -> None:
        """What is said meanwhile waits for the next network (design decision 5)."""
        for call in self._agent.live_calls():
            if _place(call) == _origin(origin):
                call.media.link_lost(now)

    def _rescue(self, now: float) -> None:
        """A move that failed for one call may have gone well for another. When the network that this one got to is
        lost, it comes to where the others are."""
        if self._decision is not None or self._agent.conductor.active is None or self._unmoved:
            return
        usable = [_origin(attachment) for attachment in self._agent.attachments()]
        lost = [call for call in self._left_behind() if _place(call) not in usable and call.move is None]
        if lost:
            place = _place(lost[0])
            self._came_from = f"{place.interface} {place.host}"
            self._start(lost, now)

    def flow_up(self, origin: Origin, flow: Flow, now: float) -> None:
        """A signalling flow is there: peers of calls that have moved are told first (decision 9)."""
        if origin != self.origin:
            return
        for call in self._agent.live_calls():
            if call.awaits_telling:
                for step in plan(_STATES[call.state], self._kind).when_connected:
                    self._do(step, call, now)
            elif call.session.flow != flow and call.session.flow.interface == flow.interface:
                call.change_flow(flow, self._agent.contact(flow), now)
        self._repeat_goodbyes(flow, now)
        self._finish(now)

    def answered(self, now: float) -> None:
        """The registrar has said something."""
        self._finish(now)

    def _repeat_goodbyes(self, flow: Flow, now: float) -> None:
        """A call that was hung up while there was no way to say so ends at the peer too."""
        flows = self._agent.flows
        alive = [flows.flow(origin) for origin in flows.origins()]
        for session in self._agent.sessions.all():
            if session.state is SessionState.ENDED and session.flow not in alive:
                session.change_flow(flow, self._agent.contact(flow), now)

    def ended(self, event: say.MoveEnded, now: float) -> None:
        """One call's move is over."""
        if event.ok:
            self._finish(now)
            return
        first = self._decision is not None  # of the calls that stay where they were
        if first:
            self._go_back()
        self._return(event.call_id, now)
        if first:
            self._agent.conductor.move_failed(now)

    def _return(self, call_id: str, now: float) -> None:
        """Signalling of the call goes where it went before its move, and a peer that has heard of the move and
        could not say so hears the old address again."""
        call = self._agent.calls.get(call_id)
        flow = self._agent.flows.flow(self.origin) if self.origin else None
        if call is not None and flow is not None and call.session.flow != flow:
            call.come_back(flow, self._agent.contact(flow), now)

    def deadline(self) -> float | None:
        """A soft move can always stay where it came from; a hard one may have nowhere else to go."""
        decision = self._decision
        if decision is None:
            return self._open_again_at
        nowhere = decision.kind is Kind.HARD and not self._agent.conductor.has_alternative
        return earliest(None if nowhere else self._began_at + LIMIT, self._open_again_at)

    def expire(self, now: float) -> None:
        if self._open_again_at is not None and self._open_again_at <= now:
            self._start(self._unmoved, now)
            return
        deadline = self.deadline()
        if self._decision is None or deadline is None or deadline > now:
            return
        moving = [call for call in self._agent.live_calls() if call.move is not None]
        if self._decision.kind is Kind.SOFT and moving:
            for call in moving:
                call.stay("the new network gave no answer", now)
            return
        self._go_back()
        self._agent.conductor.move_failed(now)

    def _go_back(self) -> None:
        """The move got nowhere: new calls start where they did before."""
        self._decision = None
        self._unmoved, self._open_again_at = [], None
        active = self._agent.conductor.active
        self.origin = _origin(active) if active else self.origin

    def _expect(self, expected: MoveExpected, now: float) -> None:
        """A move by choice is near: the listener's playout grows beforehand (Vatn), and the user hears of it."""
        target, origin = expected.decision.target, expected.origin
        for call in self._agent.live_calls():
            call.media.session.expect_move(now)
            self._agent.say(
                say.MoveExpected(
                    call.id,
                    f"{origin.interface} {origin.address}",
                    f"{target.interface} {target.address}",
                    expected.decision.reason,
                )
            )

    def _begin(self, wanted: MoveWanted, now: float) -> None:
        decision, came_from = wanted.decision, wanted.origin
        self._decision, self._began_at = decision, now
        self._came_from = f"{came_from.interface} {came_from.address}" if came_from else ""
        self.origin = _origin(decision.target)
        self._keep_flows(now)
        self._start(self._agent.live_calls(), now)

    def _start(self, calls: list[Call], now: float) -> None:
        """The first steps of these calls. For one that gets no port on the new network (its address may be gone, and
        the kernel has yet to say so) they are tried again."""
        self._unmoved, self._open_again_at = [], None
        for call in calls:
            try:
                for step in plan(_STATES[call.state], self._kind).at_once:
                    self._do(step, call, now)
            except LocalError as error:
                self._agent.setup.trace.note("moves", "no port", problem=str(error))
                self._unmoved.append(call)
                self._open_again_at = now + OPEN_AGAIN
        flow = self._agent.flows.flow(self.origin) if self.origin is not None else None
        if flow is not None and self.origin is not None:
            self.flow_up(self.origin, flow, now)

    @property
    def _kind(self) -> Kind:
        return self._decision.kind if self._decision is not None else Kind.HARD

    def _do(self, step: Step, call: Call, now: float) -> None:
        origin = self.origin
        flow = self._agent.flows.flow(origin) if origin is not None else None
        if step is Step.RECEIVE_ON_NEW and origin is not None:
            call.listen_on(self._kind.value, self._came_from, origin.interface, origin.host, now)
        elif step is Step.PROVE_NEW:
            call.prove_new(now)
        elif step is Step.SEND_FROM_NEW:
            call.send_from_new(now)
        elif step is Step.TELL_PEER and flow is not None:
            works = self._kind is Kind.SOFT
            call.tell_peer(flow, self._agent.contact(flow), now, old_flow_works=works)

    def _harden(self, now: float) -> None:
        """The old network went before the new one was proven: our media leaves from the new one at once."""
        if self._decision is None:
            return
        self._decision = Decision(self._decision.target, Kind.HARD, self._decision.reason)
        for call in self._agent.live_calls():
            self._do(Step.SEND_FROM_NEW, call, now)
            if call.move is not None:
                self._do(Step.TELL_PEER, call, now)

    def _finish(self, now: float) -> None:
        """Done when every call's peer knows; without calls as soon as the server is reached."""
        if self._decision is None or any(call.move is not None for call in self._agent.live_calls()):
            return
        if self._open_again_at is not None:
            return
        if not self._connected:
            return
        if left := self._left_behind():
            self._start(left, now)
            return
        self._decision = None
        self._agent.conductor.moved(now)

    @property
    def _connected(self) -> bool:
        """Whether the server is there. A datagram flow shows that with the first message that comes on it, the
        registrar's if not the peer's."""
        flows, origin = self._agent.flows, self.origin
        if origin is None:
            return True
        if self._agent.registration is not None:
            return flows.has_worked(origin)
        return flows.flow(origin) is not None

    def _left_behind(self) -> list[Call]:
        """Calls that are elsewhere, such as one that has begun on the network that we leave, during the move."""
        return [call for call in self._agent.live_calls() if _place(call) != self.origin]

    def _keep_flows(self, now: float) -> None:
        """A flow over each network that can carry one, and none over those that are gone (RFC 5626)."""
        agent = self._agent
        wanted: dict[str, Origin] = {}
        active = agent.conductor.active
        for attachment in agent.attachments():
            wanted.setdefault(attachment.interface, _origin(attachment))
        if active is not None and agent.conductor.observation.holds(active):
            wanted[active.interface] = _origin(active)
        if self.origin is not None and self._decision is not None:
            wanted[self.origin.interface] = self.origin
        for origin in agent.flows.origins():
            if origin not in wanted.values():
                agent.flows.drop(origin)
        for origin in wanted.values():
            agent.flows.want(origin, now)


def _place(call: Call) -> Origin:
    """Where its media leaves."""
    port = call.media.paths.sending
    return Origin(port.interface, port.address.host)


def _origin(attachment: Attachment) -> Origin:
    return Origin(attachment.interface, attachment.address)
