"""Which ways there are between the two ends of a call: the ICE agent, its words in SDP, and what media does with its
answers. Pure.

With a peer that speaks no ICE nothing here does anything: media goes where protected signalling said. With one that
does, media leaves for that address at once too, as it would without ICE, and for the pair that the agent selects as
soon as there is one; if there is none within `PATIENCE`, nothing leaves any more (RFC 7675 section 5.1): no address
that a peer wrote down hears us for longer without having asked for it.

A path under proof gets copies, within the credit that the agent grants, beside what the path before it gets: whoever
copies a check from elsewhere wins nothing by it, not even for one round trip (design decision 2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.ice_description import CandidateType, IceDescription
from segue.base.machine import earliest
from segue.base.trace import NO_TRACE, Trace
from segue.call.agreement import MediaAgreement
from segue.call.duplication import Duplication, MayDuplicate
from segue.call.extensions import Extension
from segue.call.ice_words import MID, IceWords
from segue.call.path import MediaPaths, rtcp_port
from segue.protocols.ice.agent import IceAgent
from segue.protocols.ice.candidate import HIGHEST_PREFERENCE
from segue.protocols.ice.events import CandidateFound, Failed, Gathered, PathLost
from segue.protocols.sdp import Attribute

PATIENCE = 5.0  # seconds that media leaves for an address which no check has come back from


class _Relay(NamedTuple):
    """Of a relayed port: what it is reached by, where that seems to be (None: it is a stream), and whether it
    survives a move."""

    base: LocalPort
    mapped: Address | None
    follows: bool


class _Unjudged(NamedTuple):
    """How things were before the answer to an offer that nobody has judged yet."""

    mid: str
    first: bool  # there was no agent
    controlling: bool
    components: int


class Connectivity:
    """One call's. `paths` are told what the agent finds; `ways` is asked for each packet.

    `migration`: whether our offers say that we move without signalling. `duplicates`: whether a soft handover sends
    on both paths; `may_duplicate` is asked for each copy.
    """

    def __init__(
        self,
        paths: MediaPaths,
        entropy: Entropy,
        *,
        enabled: bool,
        muxes: bool = True,
        migration: bool,
        duplicates: bool,
        may_duplicate: MayDuplicate | None = None,
        stun_servers: tuple[Address, ...] = (),
        trace: Trace = NO_TRACE,
    ) -> None:
        self._duplication = Duplication(duplicates, may_duplicate)
        self._paths = paths
        self._entropy = entropy
        self._enabled = enabled
        self._muxes = muxes
        self._migration = migration
        self.lengthens = False  # the peer has moved to a longer path, and what it sends will soon take that
        self._stun_servers = stun_servers
        self._trace = trace
        self._agent: IceAgent | None = None
        self._ports: list[LocalPort] = []
        self._relayed: dict[LocalPort, _Relay] = {}
        self._agreed = False  # both ends speak ICE
        self._refused = False  # the peer's last word was without it
        self._moves = False  # and take a move without signalling
        self._words = IceWords(trace)
        self._unjudged: _Unjudged | None = None  # an answer of ours
        self._restarting = False  # our last offer did
        self._goes_on = False  # the peer's answer did not: it stays with the session that it has
        self._restart = False  # the next offer restarts ICE: it moves, and the peer knows no other way
        self._target: LocalPort | None = None  # where the call is on our side, or its move goes
        self._soft = False  # while its old path works
        self._ahead = False  # media leaves there, and a peer that nominates has yet to see that
        self._trial: Path | None = None  # selected, and not proven
        self._give_up_at: float | None = None

    @property
    def wanted(self) -> bool:
        """Whether this call speaks ICE, or has yet to hear whether it can."""
        return self._enabled and not self._refused

    # What signalling says

    def offer(self, now: float) -> tuple[Attribute, ...]:
        """What our offer says of ICE."""
        if not self.wanted:
            return ()
        if self._agent is None:
            self._make_agent(True, now)
        elif self._restart:
            self._begin_again(self._agent, True)
            self._agent.restart(now, self._target)
            self._restarting = True
        self._restart = False
        self._words.mid = self._words.mid or MID
        assert self._agent is not None
        return self._words.tell(self._agent.description, self._agent.remote_candidates)

    def taken_back(self) -> None:
        """Our offer was refused, or met the peer's: what it would have restarted goes on; the next one restarts."""
        if self._restarting and self._agent is not None and self._agent.undo_restart():
            self._restart = True
        self._restarting = False

    def answer(
        self, theirs: IceDescription | None, mid: str, now: float, *, mux: bool = True
    ) -> tuple[Attribute, ...]:
        """What our answer to an offer that says `theirs` says of ICE. `mid`: the offer's, which an answer repeats
        (RFC 5888 section 9.1). `mux`: it has `a=rtcp-mux`. Nobody has judged the offer yet: `refused` undoes this."""
        agent = self._agent
        self._unjudged = _Unjudged(
            self._words.mid,
            agent is None,
            agent.controlling if agent else False,
            agent.components if agent else 0,
        )
        self._words.mid = mid
        if not self._enabled or theirs is None:
            return ()
        if theirs.mismatch:
            return (Attribute("ice-mismatch"),)
        self.taken_back()
        if agent is None:
            agent = self._make_agent(theirs.lite, now)
        elif self._words.theirs is not None and not self._words.is_same_session(theirs):
            self._begin_again(agent, theirs.lite)
            agent.restart(now)
        self._share_port(mux and self._muxes, now)
        return self._words.tell(agent.description)

    def refused(self, now: float) -> None:
        """The offer that we were about to answer cannot be accepted, and has changed nothing."""
        before, agent = self._unjudged, self._agent
        if before is None or agent is None:
            return
        self._words.mid = before.mid
        if before.first:
            self._agent = None
            return
        agent.undo_restart()
        agent.set_controlling(before.controlling)
        self._share_port(before.components == 1, now)
        self._words.tell(agent.description)

    def adopt(self, agreement: MediaAgreement, octets: int, now: float, *, answer: bool) -> None:
        """An offer and its answer hold; the peer's part of them, the `answer` or not, was so many octets."""
        theirs = agreement.ice
        agent = self._agent
        self._ahead = False
        self._refused = theirs is None or theirs.mismatch
        if agent is None or theirs is None or theirs.mismatch:
            self._agreed = self._moves = False
            self._agent, self._trial, self._give_up_at = None, None, None
            self._duplication.rest()
            self._restart = False
            self._paths.select_rtcp(None)
        else:
            if not self._agreed:
                self._agreed = True
                self._give_up_at = now + PATIENCE
            if self._restarting:
                self._goes_on = self._words.is_same_session(theirs)
            self._restarting = False
            self._words.theirs = theirs
            self._moves = agent.migration = Extension.MIGRATE in agreement.extensions
            self._share_port(agreement.rtcp_mux, now)
            agent.set_remote(theirs, now, answer=answer)
        self._go_where_signalled(agreement, octets, now)
        self._take_events(now)

    def _go_where_signalled(self, agreement: MediaAgreement, octets: int, now: float) -> None:
        """The peer is where it says (the default candidate of RFC 8839 section 4.2.1.2): its word came protected, and
        a check may have had no chance to come before it. The agent believes it on trial; without one, or before it
        has found anything, media just goes there; but never away from a proven path that carries media."""
        remote, active, agent = agreement.remote, self._paths.active, self._agent
        if remote is None:
            return
        selected = agent.selected if agent is not None else None
        if agent is not None and selected is not None and selected.local.family == remote.family:
            if self._moves:
                if agreement.remote_changed:
                    agent.remote_moved(remote, octets, now)
                return
            if selected == active and agent.proven(selected) and self._duplication.is_alive(selected, now):
                return
            self._give_up_at = now + PATIENCE  # or it is proven by then
        self._paths.remote_moved(remote, agreement.remote_rtcp or remote)

    def crossed(self, agreement: MediaAgreement, ice: IceDescription | None, octets: int, now: float) -> None:
        """An offer of the peer's met ours and is not answered. Where it says that the peer is counts all the same."""
        if self._agent is not None and ice is not None and self._words.is_same_session(ice):
            self._agent.add_remote(ice.candidates, ice.ended, now)
        remote = agreement.remote
        if remote is not None and remote.family == self._paths.sending.address.family:
            self._go_where_signalled(replace(agreement, remote_changed=True), octets, now)
        self._take_events(now)

    def _make_agent(self, controlling: bool, now: float) -> IceAgent:
        self._agent = agent = IceAgent(
            controlling=controlling,
            entropy=self._entropy,
            now=now,
            migration=self._migration,
            stun_servers=self._stun_servers,
            components=2,
            trace=self._trace,
        )
        for port in self._ports:
            self._add(agent, port, now)
        for port in self._relayed:
            self._add_relayed(port, now)
        return agent

    def _begin_again(self, agent: IceAgent, controlling: bool) -> None:
        """A restart. With a peer of before RFC 8445 who offers it is the controlling end (RFC 5245 section 5.2): else
        it might nominate the path that we leave. Others keep their roles (RFC 8445 section 9)."""
        theirs = self._words.theirs
        if theirs is not None and "ice2" not in theirs.options:
            agent.set_controlling(controlling)

    def _share_port(self, shares: bool, now: float) -> None:
        """Whether RTCP comes beside RTP. An offer has candidates for both as long as that is not known (RFC 5761
        section 5.1.3)."""
        agent = self._agent
        if agent is None or agent.components == (1 if shares else 2):
            return
        agent.components = 1 if shares else 2
        for port in self._ports:
            if shares:
                agent.remove_port(rtcp_port(port), now)
            else:
                self._add_rtcp(agent, port, now)

    # Candidates that follow (RFC 8840)

    def tell_all(self) -> None:
        """The peer waits to hear what we have."""
        self._words.unheard = True

    def fragment(self) -> bytes:
        """What the peer is to be told by INFO now."""
        return self._words.fragment(self._agent.description) if self._agent is not None else b""

    def take_fragment(self, body: bytes, now: float) -> None:
        """What the peer has found since its offer or answer."""
        if self._agent is not None:
            for candidates, ended in self._words.read_fragment(body):
                self._agent.add_remote(candidates, ended, now)
            self._take_events(now)

    # Ports of ours

    def opened(self, port: LocalPort, now: float) -> None:
        if port not in self._ports:
            if self._agent is not None:
                self._add(self._agent, port, now)
            self._target = self._target or port
            self._ports.append(port)
            self._take_events(now)

    def _add(self, agent: IceAgent, port: LocalPort, now: float) -> None:
        """The network that the call is on comes before all others, whatever families they have."""
        agent.add_port(port, now, preference=HIGHEST_PREFERENCE - (port != self._target))
        if agent.components > 1:
            self._add_rtcp(agent, port, now)

    def _add_rtcp(self, agent: IceAgent, port: LocalPort, now: float) -> None:
        preference = HIGHEST_PREFERENCE - (port != self._target)
        agent.add_port(rtcp_port(port), now, component=2, preference=preference)

    def closed(self, port: LocalPort, now: float) -> None:
        self._duplication.forget(port)
        if port in self._ports:
            self._ports.remove(port)
            if self._agent is not None:
                self._agent.remove_port(port, now)
                self._agent.remove_port(rtcp_port(port), now)
                self._take_events(now)

    def relayed(
        self, port: LocalPort, base: LocalPort, mapped: Address | None, follows: bool, now: float
    ) -> None:
        """A relay has lent us `port`; what comes to it arrives at `base`, which seems to be at `mapped`. `follows`:
        it stays ours when we are elsewhere."""
        self._relayed[port] = _Relay(base, mapped, follows)
        if self._agent is not None:
            self._add_relayed(port, now)
            if self._target == base and not self._is_reached_at(base):
                self._agent.move(port, now)  # nothing has come of the direct way yet
            self._take_events(now)

    def relay_moved(self, port: LocalPort, base: LocalPort) -> None:
        """The relay has followed us to `base`, with the same port."""
        if port in self._relayed:
            self._relayed[port] = self._relayed[port]._replace(base=base)
            active = self._paths.active
            if active is not None and active.port == port:
                self._paths.select(active, base)

    def relay_gone(self, port: LocalPort, now: float) -> None:
        """Nothing comes or goes there any more."""
        self._duplication.forget(port)
        if self._relayed.pop(port, None) is not None and self._agent is not None:
            self._agent.remove_port(port, now)
            self._take_events(now)

    def _is_reached_at(self, base: LocalPort) -> bool:
        """Whether a path that comes there, by a relay or not, is selected and proven."""
        selected = self._agent.selected if self._agent is not None else None
        return (
            self._agent is not None
            and selected is not None
            and self._base(selected.port) == base
            and self._agent.proven(selected)
        )

    def _base(self, port: LocalPort) -> LocalPort:
        """Where what comes to a port of ours arrives."""
        return self._relayed[port].base if port in self._relayed else port

    def _add_relayed(self, port: LocalPort, now: float) -> None:
        assert self._agent is not None
        relay = self._relayed[port]
        preference = HIGHEST_PREFERENCE - (relay.base != self._target)
        if relay.mapped is None:
            preference -= 2  # a stream holds up what is behind a lost packet: after every relay of datagrams
        self._agent.add_port(
            port,
            now,
            kind=CandidateType.RELAYED,
            base=relay.base,
            related=relay.mapped,
            preference=preference,
        )

    def move(self, port: LocalPort, now: float, *, soft: bool) -> None:
        """Our end is at `port` from now on; `soft`: as soon as that is proven. A peer that has to be told by
        signalling is offered a restart of ICE then (RFC 8839 section 4.4.1.1.1). A relay that follows us is waited
        for: the path by it goes on, and the peer need not know."""
        active = self._paths.active
        relay = self._relayed.get(active.port) if active is not None else None
        if not soft and relay is not None and relay.follows:
            return
        self._target, self._soft, self._ahead = port, soft, False
        if self._agent is not None:
            self._restart = not self._agent.move(port, now) and self._agreed
            if self._agent.components > 1 and port in self._ports:
                self._agent.move(rtcp_port(port), now)
            self._take_events(now)
        if (
            not soft and self._paths.sending != port
        ):  # nothing is proven yet, or the peer is of another family there
            self._paths.send_from(port)

    def may_leave_from(self, port: LocalPort) -> bool:
        """Whether media may be put there on the word of signalling: a check was answered there, or none ever will."""
        return not self._agreed or self._proven_from(port) is not None

    def leave_from(self, port: LocalPort) -> bool:
        """Media leaves there on a path that is proven; the peer, who knows of our move by signalling only, may have
        yet to nominate it. False without one, and with other peers."""
        path = self._proven_from(port) if self._agreed and not self._moves else None
        if path is not None and not self.is_proven(port):
            self._paths.select(path, self._base(path.port))
            self._ahead = True
        return path is not None

    def _proven_from(self, port: LocalPort) -> Path | None:
        paths = self._agent.paths if self._agent is not None else ()
        return next((path for path in paths if path.port == port), None)

    def is_proven(self, port: LocalPort) -> bool:
        """Whether a path from there is selected and proven."""
        agent = self._agent
        selected = agent.selected if agent is not None else None
        return agent is not None and selected is not None and selected.port == port and agent.proven(selected)

    # The packet path

    def received(self, path: Path, octets: int, now: float) -> bool:
        """Authentic media of this size came by `path`. Whether there is something to send because of that: a check,
        when it came from somewhere new."""
        self._duplication.received(path, now)
        return self._agreed and self._agent is not None and self._agent.received_media(path, octets, now)

    def ways(self, octets: int, now: float) -> tuple[Path, ...]:
        """Where a packet of this size leaves now."""
        active, trial = self._paths.active, self._trial
        if active is None:
            return ()
        twin = self._duplication.way(active, octets, now)
        if trial is None and twin is None:
            return (active,)
        copies = [] if twin is None else [twin]
        if (
            trial is not None
            and trial != twin
            and self._agent is not None
            and self._agent.may_send(trial, octets)
        ):
            copies.append(trial)
        return (active, *copies)

    def care(self, *, bad: bool) -> None:
        """Whether the link is so bad that everything had better go two ways; to be said again and again, since ways
        come and go."""
        agent, active = self._agent, self._paths.active
        if bad and self._moves and agent is not None and active is not None:
            self._duplication.help(active, agent.paths)
        else:
            self._duplication.rest()

    def late_ways(self, octets: int, now: float) -> tuple[Path, ...]:
        """The same for what was held up: what a peer under proof has missed waits for credit, and goes nowhere
        else."""
        if self._trial is None or self._agent is None:
            return self.ways(octets, now)
        return (self._trial,) if self._agent.may_send(self._trial, octets) else ()

    def leads_to(self, remote: Address) -> bool:
        """Whether something leaves for there; RTCP has an address of its own where it is not beside our media."""
        ways = (self._paths.active, self._paths.rtcp, self._trial)
        return any(way is not None and way.remote == remote for way in ways)

    # The five verbs

    def receive(self, datagram: bytes, path: Path, now: float) -> None:
        """STUN that came by `path`."""
        if self._agent is not None:
            self._agent.receive(datagram, path, now)
            self._take_events(now)
        else:
            self._trace.drop("media", "STUN without ICE", source=path.remote)

    def transmits(self) -> list[tuple[Path, bytes]]:
        return self._agent.transmits() if self._agent is not None else []

    def deadline(self) -> float | None:
        return earliest(self._agent.deadline() if self._agent is not None else None, self._give_up_at)

    def expire(self, now: float) -> None:
        if self._agent is not None:
            self._agent.expire(now)
            self._take_events(now)
        if self._give_up_at is not None and self._give_up_at <= now:
            self._give_up_at = None
            if self._agent is not None:
                self._give_up(self._agent)

    def _give_up(self, agent: IceAgent) -> None:
        """What media leaves on has to be proven by now (RFC 7675 section 5.1)."""
        active, selected = self._paths.active, agent.selected
        if active is None or agent.proven(active):
            return
        if selected is not None and agent.proven(selected):
            self._paths.select(selected, self._base(selected.port))
        else:
            self._trace.note("media", "no check was answered")
            self._paths.stop()

    def _take_events(self, now: float) -> None:
        agent = self._agent
        if agent is None:
            return
        events = agent.events()
        for event in events:
            if isinstance(event, PathLost | Failed):
                self._trace.note("media", "path lost", why=event.why)
                if agent.selected is None and self._agreed:
                    self._give_up_at = now + PATIENCE
            elif isinstance(event, CandidateFound | Gathered):
                self._words.unheard = True
        if events or self._trial is not None:
            self._arrange(agent, now)

    def _arrange(self, agent: IceAgent, now: float) -> None:
        """Media follows the agent's choice: at once where it is proven or our own hard move. Our own soft one waits
        for its proof; where the peer says that it is, or its media comes from, is tried."""
        if self._goes_on:
            self._choose(agent, now)
        reports = agent.selected_of(2) if agent.components > 1 else None
        self._paths.select_rtcp(reports if reports is not None and agent.proven(reports) else None)
        selected, active = agent.selected, self._paths.active
        self._trial = None
        if selected is None or selected == active:
            self._trial = agent.suspect
            return
        self._ahead = (
            self._ahead and selected.port != self._target and active is not None and agent.proven(active)
        )
        if self._ahead:
            return
        ours = selected.port == self._target and (active is None or active.port != selected.port)
        if not agent.proven(selected) and (self._soft or not ours):
            self._trial = None if ours else selected
            return
        self._give_up_at = None
        if active is not None and not ours:
            old, new = agent.round_trip(active), agent.round_trip(selected)
            self.lengthens = old is not None and new is not None and new > old
        self._paths.select(selected, self._base(selected.port))
        if ours:
            # Proof is as good as media, whose first copies may go on to come by the old path.
            self._paths.received(selected.port, now)
        if active is not None:
            self._duplication.switched(active, selected, now)

    def _choose(self, agent: IceAgent, now: float) -> None:
        """The peer answers our checks and does not nominate (baresip 1.0): where we have moved is where we are."""
        target = self._target
        for component, port in enumerate((target, rtcp_port(target)) if target in self._ports else (), 1):
            current = agent.selected_of(component)
            proven = next((path for path in agent.paths_of(component) if path.port == port), None)
            if proven is not None and (current is None or current.port != port):
                agent.choose(proven, now)
