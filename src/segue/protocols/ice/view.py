"""What an agent tells of itself."""

from __future__ import annotations

from segue.base.address import Address, Path
from segue.base.ice_description import Candidate, IceDescription
from segue.protocols.ice.conclusion import Conclusion
from segue.protocols.ice.gathering import Gatherer
from segue.protocols.ice.generation import IceCredentials
from segue.protocols.ice.state import State

OPTIONS = frozenset({"ice2", "trickle", "renomination"})


class AgentView:
    """All of it may be asked at any time, and changes nothing."""

    _state: State
    _gatherer: Gatherer
    _conclusion: Conclusion

    @property
    def controlling(self) -> bool:
        return self._state.controlling

    @property
    def credentials(self) -> IceCredentials:
        """Ours, of the newest session."""
        return self._state.newest.credentials

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Ours, for SDP."""
        return self._state.local.all

    @property
    def gathered(self) -> bool:
        return self._gatherer.done

    @property
    def description(self) -> IceDescription:
        """What the peer is to be told now."""
        ours = self.credentials
        return IceDescription(
            ours.ufrag, ours.password, OPTIONS, candidates=self.candidates, ended=self.gathered
        )

    @property
    def remote_candidates(self) -> tuple[tuple[int, Address], ...]:
        """The peer's addresses of the selected paths, which an offer of a controlling end repeats when all is decided
        (RFC 8839 section 5.2); nothing at other times."""
        state = self._state
        if not state.controlling or not self.completed:
            return ()
        selected = ((number, selection.current) for number, selection in sorted(state.selections.items()))
        return tuple((number, known.path.remote) for number, known in selected if known is not None)

    @property
    def selected(self) -> Path | None:
        """Where data of component 1 leaves: on the nominated path, or on the first that works until there is
        one."""
        return self.selected_of(1)

    def selected_of(self, component: int) -> Path | None:
        current = self._state.selection(component).current
        return current.path if current is not None else None

    @property
    def suspect(self) -> Path | None:
        """Where the peer's media comes from though the selected path has not been given up, once it has answered
        there."""
        suspect = self._state.selection(1).suspect
        return suspect.path if suspect is not None else None

    def proven(self, path: Path) -> bool:
        """Whether the peer has answered a check on it in the last 30 s."""
        known = self._state.paths.get(path)
        return known is not None and known.proven

    @property
    def paths(self) -> tuple[Path, ...]:
        """Proven paths of component 1: the selected one first, then those that were heard last."""
        return self.paths_of(1)

    def paths_of(self, component: int) -> tuple[Path, ...]:
        current = self._state.selection(component).current
        proven = self._state.paths.proven(component)
        proven.sort(key=lambda known: (known is not current, -known.heard))
        return tuple(known.path for known in proven)

    def mapped(self, path: Path) -> Address | None:
        """Where the peer sees us on this path: what `c=` and `m=` say when it is selected (RFC 8839 section
        4.2.1.2)."""
        known = self._state.paths.get(path)
        return known.mapped if known is not None else None

    def round_trip(self, path: Path) -> float | None:
        """Seconds, of the last check that was answered at once."""
        known = self._state.paths.get(path)
        return known.round_trip if known is not None else None

    @property
    def completed(self) -> bool:
        """Whether each component has a nominated path (RFC 8445 section 8.1.2)."""
        generation = self._state.newest
        return generation.remote is not None and self._conclusion.is_complete(generation)
