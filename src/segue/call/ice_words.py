"""What the two ends of a call have said of ICE: in offers and answers (RFC 8839), and by INFO of candidates that came
after those (RFC 8840). Pure."""

from __future__ import annotations

from dataclasses import replace

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.ice_description import Candidate, IceDescription
from segue.base.trace import Trace
from segue.protocols.sdp import Attribute
from segue.protocols.sdp.ice_attributes import write_ice
from segue.protocols.sdp.trickle_fragment import news, parse_fragment, write_fragment

MID = "audio"  # of our one stream (RFC 5888)


class IceWords:
    """`theirs` is the peer's last word, `mid` the name that the stream has; "" when the peer's offer gave it none."""

    def __init__(self, trace: Trace) -> None:
        self.theirs: IceDescription | None = None
        self.mid = MID
        self.unheard = False  # the peer waits to be told, or something was found since it was
        self._ours: IceDescription | None = None  # as we told it last
        self._trace = trace

    def tell(
        self, ours: IceDescription, remote: tuple[tuple[int, Address], ...] = ()
    ) -> tuple[Attribute, ...]:
        """Attributes of our offer or answer; `remote`: `a=remote-candidates`."""
        self._ours = ours
        mid = (Attribute("mid", self.mid),) if self.mid else ()
        return mid + write_ice(replace(ours, remote_candidates=remote))

    def fragment(self, ours: IceDescription) -> bytes:
        """What an INFO is to tell now: nothing when the peer knows all."""
        if not (self.mid and self.unheard):
            return b""
        self.unheard = False
        before, self._ours = self._ours, ours
        if before is not None and (ours.candidates, ours.ended) == (before.candidates, before.ended):
            return b""
        return write_fragment(ours, self.mid)

    def read_fragment(self, body: bytes) -> list[tuple[tuple[Candidate, ...], bool]]:
        """Candidates that are news, and whether they were the last. Of another ICE session than this one: nothing."""
        known = self.theirs
        try:
            parts = parse_fragment(body) if known is not None else ()
        except RemoteError as error:
            self._trace.drop("media", "malformed candidates", problem=error.problem)
            return []
        return [
            (news(part, known), part.ended)
            for part in parts
            if known is not None and part.mid in ("", self.mid) and part.ufrag == known.ufrag
        ]

    def is_same_session(self, ice: IceDescription) -> bool:
        """Whether this has the credentials of the peer's last word."""
        theirs = self.theirs
        return theirs is not None and (theirs.ufrag, theirs.password) == (ice.ufrag, ice.password)
