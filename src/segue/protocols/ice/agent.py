"""The ICE agent of one call: a `base.machine.Machine` whose messages are STUN datagrams and whose sources are
paths.

It composes: `candidate` (ours and the peer's), `gathering` (STUN servers), `check_list` and `check`
(connectivity checks), `answering` (those of the peer), `conclusion` (nominating), `consent`, `selection` (which
path data leaves on) and `migration` (our own moves). Each of these says which sections it has.
"""

from __future__ import annotations

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import RemoteError
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.ice.candidate import HIGHEST_PREFERENCE, Base, RemoteCandidate
from segue.protocols.ice.conclusion import Conclusion
from segue.protocols.ice.consent import Consent
from segue.protocols.ice.events import Gathered, IceEvent
from segue.protocols.ice.exchange import Exchange
from segue.protocols.ice.gathering import Gatherer
from segue.protocols.ice.generation import Generation
from segue.protocols.ice.known_path import Permission
from segue.protocols.ice.limits import ALIVE, PATIENCE
from segue.protocols.ice.migration import Moves
from segue.protocols.ice.pair import PairState
from segue.protocols.ice.state import State
from segue.protocols.ice.view import AgentView
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun

_SLOWEST = 1.0  # seconds between checks: the most that a peer may ask for


class IceAgent(AgentView):
    """`controlling`: the offerer of the first offer is (RFC 8445 section 6.1.1). `migration`: both ends agreed
    upon it; may be set when that is known. `components`: 2 for a peer that may not multiplex RTP and RTCP.

    `received_media` and `may_send` are for each packet of voice. After the first, `transmits`, `events` and
    `deadline` need be asked only when it says so.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        entropy: Entropy,
        now: float,
        migration: bool = False,
        stun_servers: tuple[Address, ...] = (),
        components: int = 1,
        trace: Trace = NO_TRACE,
    ) -> None:
        self._trace = trace
        self._state = State(controlling, entropy, now, migration, trace)
        self._gatherer = Gatherer(stun_servers, entropy)
        self._consent = Consent(self._state)
        self._conclusion = Conclusion(self._state, components)
        self._moves = Moves(self._state, self._conclusion)
        self._exchange = Exchange(self._state, self._consent, self._moves, self._conclusion, now)
        self._gathering = False
        self._paced_at = float("-inf")
        self._changed = True
        self._deadline: float | None = None
        for component in range(1, components + 1):
            self._state.selection(component)

    # What the call says

    @property
    def migration(self) -> bool:
        """Whether both ends have listed it, as is known when offer and answer are."""
        return self._state.migration

    @migration.setter
    def migration(self, agreed: bool) -> None:
        self._state.migration = agreed
        self._changed = True

    @property
    def components(self) -> int:
        """1 as soon as RTP and RTCP share a port."""
        return self._conclusion.count

    @components.setter
    def components(self, count: int) -> None:
        self._conclusion.count = count
        self._changed = True

    def add_port(
        self,
        port: LocalPort,
        now: float,
        *,
        component: int = 1,
        kind: CandidateType = CandidateType.HOST,
        base: LocalPort | None = None,
        related: Address | None = None,
        preference: int = HIGHEST_PREFERENCE,
    ) -> None:
        """Datagrams can arrive at `port`: a host candidate, or a relayed one with its `base` and the mapped
        address of its allocation (`related`). `preference`: of the interface, 0 to 63; a lower one comes after
        all higher ones."""
        self._add(port, component, kind, base=base, related=related, preference=preference)
        self._tend(now)

    def remove_port(self, port: LocalPort, now: float) -> None:
        """Nothing can be sent from there any more. Another proven path takes the place of a selected one."""
        state = self._state
        self._gatherer.remove(port)
        self._moves.remove_port(port)
        state.local.remove(port)
        for generation in state.generations:
            self._conclusion.remove(generation.check_list.remove(lambda pair: pair.base.port == port))
        for known in state.paths.remove_port(port):
            state.checks.forget(known)
            state.targets.discard(known)
            self._exchange.lose(known, "its port is gone", now)
        self._tend(now)

    def set_remote(self, description: IceDescription, now: float, *, answer: bool = False) -> None:
        """From an offer or answer. Other credentials than before are a restart by the peer, which we join (RFC
        8445 section 9) if `restart` has not been called for the description we answer with; in an `answer` to the
        same offer of ours they are another fork's, which knows us by what we offered."""
        state = self._state
        known = state.newest.remote
        if known is not None and (known.ufrag, known.password) != (description.ufrag, description.password):
            if answer:
                state.generations[:] = [state.new_generation(state.newest.credentials)]
                self._conclusion.role_switched()
            else:
                self.restart(now)
        generation = state.newest
        generation.remote = description
        state.pacing = max(state.pacing, min(description.pacing, _SLOWEST))
        if generation.patience is None and not generation.failed:
            generation.patience = now + PATIENCE
        if description.lite and not state.controlling:
            self._exchange.set_controlling(True)  # RFC 8445 section 6.1.1
        self.add_remote(description.candidates, description.ended, now)
        early, generation.early = generation.early, []
        for message, path, octets in early:
            self._exchange.act_upon(message, path, octets, generation, now)
        self._tend(now)

    def add_remote(self, candidates: tuple[Candidate, ...], ended: bool, now: float) -> None:
        """Trickled (RFC 8838), or found in an offer that is not answered: authenticated all the same."""
        state, generation = self._state, self._state.newest
        generation.ended = generation.ended or ended
        found = [
            generation.remotes.signal(each) for each in sorted(candidates, key=lambda each: -each.priority)
        ]
        for known in state.paths:
            remote = generation.remotes.get(known.component, known.path.remote)
            known.signalled = known.signalled or (remote is not None and remote.signalled)
        bases = list(state.local.bases.values())
        fresh = [remote for remote in found if remote is not None]
        self._form([base for base in bases if base.component in generation.complete], fresh)
        for component in state.selections:
            if component not in generation.complete:  # ports that came before the peer's description, too
                self._form(bases, self._remotes(generation, component))
        self._moves.candidates_added(now)
        self._tend(now)

    def remote_moved(self, remote: Address, octets: int, now: float, component: int = 1) -> None:
        """Signalling, authenticated, says where the peer is now. `octets`: how much it was; three times that
        may leave for there before the peer has answered, as if they had come from there. That opens a NAT
        before us at once."""
        state = self._state
        selection = state.selection(component)
        current = selection.current
        if current is None or not state.migration or remote.family != current.path.local.family:
            return
        known = state.known(current.path._replace(remote=remote))
        if known is None or known is current:
            return
        known.signalled = True
        if current.proven and now - current.heard < ALIVE:  # a check was faster, or it is not there yet
            state.want(known, now)
            return
        known.received += octets
        if known.permission is Permission.NONE:
            known.enter(Permission.TRIAL)
        selection.compete(known)
        selection.select(known, now)
        state.start_check(known, now)

    def restart(self, now: float, prefer: LocalPort | None = None) -> None:
        """New credentials; the selected path stays until the new session has one (RFC 8445 section 9). `prefer`: the
        port whose candidates are the best from now on."""
        state = self._state
        if prefer is not None:
            state.local.prefer(prefer)
        if state.newest.remote is not None:
            state.generations.insert(0, state.new_generation())
            del state.generations[2:]
        self._conclusion.role_switched()
        for base in state.local.bases.values():
            if base.candidate.type is CandidateType.HOST:
                self._gatherer.remove(base.port)
                self._gatherer.add(base.port)
                self._gathering = True
        self._tend(now)

    def undo_restart(self) -> bool:
        """The offer that our restart was for will not be answered: the session before goes on. False when there
        was no restart, or the peer has taken part in it already."""
        state = self._state
        if state.newest.remote is not None or len(state.generations) < 2:
            return False
        del state.generations[0]
        self._changed = True
        return True

    def set_controlling(self, controlling: bool) -> None:
        """What signalling says; conflicts are settled by the checks themselves (RFC 8445 section 7.3.1.1)."""
        self._exchange.set_controlling(controlling)

    def move(self, port: LocalPort, now: float) -> bool:
        """The local end is at `port` from now on. False when the peer cannot be told by a check: ICE has to be
        restarted."""
        state = self._state
        if port not in state.local.bases:
            self._add(port)
        component = state.local.bases[port].component
        selection = state.selection(component)
        if state.migration and selection.last is not None:
            self._moves.move(port, component, now)
        elif selection.nominated:
            return False
        else:
            self._prefer(port)
        self._tend(now)
        return True

    def choose(self, path: Path, now: float) -> None:
        """Data leaves on this path if it is proven: our end has moved, and the peer goes on with its old session, in
        which it will nominate nothing more."""
        known = self._state.paths.table.get(path)
        if known is not None and known.proven:
            self._state.selection(known.component).select(known, now)
            self._conclusion.settle(known.component, now)
            self._tend(now)

    def check(self, path: Path, now: float) -> None:
        """A check on this path, soon."""
        known = self._state.known(path)
        if known is not None:
            self._state.want(known, now)
            self._tend(now)

    # Each packet of voice

    def received_media(self, path: Path, octets: int, now: float) -> bool:
        """Authenticated media came, not a copy of what came before. Whether there is now something to take."""
        known = self._state.paths.table.get(path)
        if known is None:
            known = self._state.known(path)
            if known is None:
                return False
        known.heard = known.media = now
        known.received += octets
        selection = self._state.selections[known.component]
        if known is selection.current or not selection.heard(known, now):
            return False
        self._changed = True
        return True

    def may_send(self, path: Path, octets: int) -> bool:
        """Whether data may leave on this path; what is allowed under proof is counted."""
        known = self._state.paths.table.get(path)
        return known is not None and known.may_send(octets)

    # The five verbs

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        try:
            message = parse_stun(datagram)
        except RemoteError as error:
            self._trace.drop("ice", "no STUN message", problem=error.problem)
            return
        if message.method is not Method.BINDING:
            self._trace.drop("ice", "another method")
        elif message.kind is Class.REQUEST:
            self._exchange.request(message, path, len(datagram), now)
        elif message.kind is not Class.INDICATION:  # those keep bindings alive, and say nothing
            self._receive_response(message, path, now)
        self._tend(now)

    def transmits(self) -> list[tuple[Path, bytes]]:
        return self._exchange.transmits() + self._gatherer.transmits()

    def deadline(self) -> float | None:
        """Worked out when something has changed, as it is asked for with each packet of voice."""
        if self._changed:
            self._changed = False
            self._deadline = self._next_deadline()
        return self._deadline

    def expire(self, now: float) -> None:
        for check in self._state.checks.expire(now):
            self._exchange.unanswered(check, now)
        self._gatherer.expire(now)
        self._conclusion.expire(now)
        self._moves.expire(now)
        for selection in self._state.selections.values():
            given_up = selection.expire(now)
            if given_up is not None:
                self._exchange.lose(given_up, "it was not proven in time", now)
        for known in self._consent.expire(now):
            self._exchange.lapse(known, "no consent for 30 s", now)
        self._tend(now)

    def events(self) -> list[IceEvent]:
        events = list(self._state.events)
        self._state.events.clear()  # its parts hold the list
        return events

    # Inside

    def _add(
        self,
        port: LocalPort,
        component: int = 1,
        kind: CandidateType = CandidateType.HOST,
        *,
        base: LocalPort | None = None,
        related: Address | None = None,
        preference: int = HIGHEST_PREFERENCE,
    ) -> None:
        state = self._state
        if kind is CandidateType.RELAYED and related is None and base is not None:
            related = base.address
        server = port.address.host if kind is CandidateType.RELAYED else ""
        added = state.local.add_base(
            port, component, kind, preference=preference, related=related, server=server
        )
        if added is None:
            return
        state.found(added.candidate)
        if kind is CandidateType.HOST:
            self._gatherer.add(port)
            self._gathering = True
        generation = state.newest
        self._form([added], self._remotes(generation, component))

    def _receive_response(self, message: StunMessage, path: Path, now: float) -> None:
        reflexive = self._gatherer.receive(message, path, now)
        if reflexive is not None:
            candidate = self._state.local.add_reflexive(
                reflexive.port, reflexive.mapped, reflexive.server.host, reflexive.order
            )
            if candidate is not None:
                self._state.found(candidate)
        else:
            self._exchange.response(message, path, now)

    def _next_deadline(self) -> float | None:
        state = self._state
        return earliest(
            state.checks.deadline(),
            self._gatherer.deadline(),
            self._conclusion.deadline(),
            self._consent.deadline(),
            self._moves.deadline(),
            *(selection.deadline() for selection in state.selections.values()),
            self._paced_at + state.pacing if self._has_next() else None,
        )

    def _prefer(self, port: LocalPort) -> None:
        """Nothing is nominated yet: pairs of this port come first."""
        self._state.local.prefer(port)
        for each in self._state.generations:
            for pair in each.check_list:
                pair.base = self._state.local.bases[pair.base.port]
        generation = self._state.active()
        if generation is not None:
            for pair in [each for each in generation.check_list if each.base.port == port]:
                if pair.state in (PairState.FROZEN, PairState.WAITING):
                    generation.check_list.trigger(pair)

    def _form(self, bases: list[Base], remotes: list[RemoteCandidate]) -> None:
        """Pairs of these. When ICE has completed, more is tried only between ends that migrate."""
        state, generation = self._state, self._state.newest
        if generation.remote is not None:
            wanted = [base for base in bases if base.component not in generation.complete or state.migration]
            generation.check_list.form(wanted, remotes)

    def _remotes(self, generation: Generation, component: int) -> list[RemoteCandidate]:
        """Those that were signalled, and where the peer is now."""
        remotes = generation.remotes.of(component, signalled=True)
        current = self._state.selection(component).current
        here = generation.remotes.get(component, current.path.remote) if current is not None else None
        return remotes if here is None or here in remotes else [here, *remotes]

    def _has_next(self) -> bool:
        generation = self._state.active()
        return (
            self._gatherer.has_next
            or bool(self._state.wanted)
            or (generation is not None and generation.check_list.has_next)
        )

    def _tend(self, now: float) -> None:
        """At the end of each verb: one more transaction if Ta allows, and what has become of gathering."""
        self._changed = True
        if now >= self._paced_at + self._state.pacing and self._has_next():
            self._paced_at = now
            self._send_next(now)
        if self._gathering and self._gatherer.done:
            self._gathering = False
            self._state.events.append(Gathered())
        if self._state.newest.complete:
            self._gatherer.rest()

    def _send_next(self, now: float) -> None:
        """RFC 8445 sections 5.1.1.2 and 6.1.4.2: one timer for all."""
        state, generation = self._state, self._state.active()
        if self._gatherer.has_next:
            self._gatherer.ask_next(now)
        elif state.wanted:
            state.start_check(state.wanted.popleft(), now)
        elif generation is not None and (pair := generation.check_list.next()) is not None:
            known = state.known(pair.path)
            if known is not None:
                state.start_check(known, now, pair=pair, nominate=self._conclusion.nominee(pair))
