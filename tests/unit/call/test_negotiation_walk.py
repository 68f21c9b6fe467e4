"""Two negotiations against each other over any holds, moves and accidents end in mirror images."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.keying import KeysReady, SrtpKeys
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.config import MediaConfig
from segue.call.extensions import Extension
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.protocols.sdp import Direction, parse_sdp
from segue.testing import SeededEntropy

PLACES = [
    LocalMedia(Address("192.0.2.1", 40000)),
    LocalMedia(Address("198.51.100.7", 40002)),
    LocalMedia(Address("2001:db8:1::7", 40000)),
    LocalMedia(Address("2001:db8:2::7", 40004), Address("2001:db8:2::7", 40100)),
]


class End:
    def __init__(self, name: str, config: MediaConfig) -> None:
        entropy = SeededEntropy(name)
        self.negotiation = Negotiation(config, Keying(config, entropy).to_offer(True), entropy)
        self.place = PLACES[0]
        self.keys: SrtpKeys | None = None
        self.session: tuple[object, ...] = ()
        self.version = 0

    def drain(self) -> None:
        if self.negotiation.keying is None:
            return
        for event in self.negotiation.keying.events():
            if isinstance(event, KeysReady):
                self.keys = event.keys

    def sent(self, body: bytes) -> bytes:
        """The `o=` rule of RFC 3264 section 8 on everything this end writes."""
        origin = parse_sdp(body).origin
        identity = origin._replace(version=0)
        assert self.session in ((), identity)
        assert origin.version in (self.version, self.version + 1)
        self.session, self.version = identity, origin.version
        return body

    def agreement(self) -> MediaAgreement:
        assert self.negotiation.agreement is not None
        return self.negotiation.agreement


CONFIGS = st.builds(
    MediaConfig,
    codecs=st.permutations(["opus", "G722", "PCMA", "PCMU"]).map(tuple)
    | st.just(("PCMA",))
    | st.just(("PCMU", "PCMA")),
    telephone_events=st.booleans(),
    rtcp_mux=st.booleans(),
    packet_time=st.sampled_from([10, 20, 40, 60]),
    extensions=st.sampled_from([(), tuple(Extension)]),
)
STEPS = st.tuples(
    st.booleans(),  # who
    st.sampled_from(["hold", "hold inactive", "resume", "move", "nothing"]),
    st.integers(0, len(PLACES) - 1),
    st.sampled_from(["answered", "answered", "answered", "refused", "answer lost", "glare"]),
)


def change(end: End, what: str, place: int) -> None:
    if what == "hold":
        end.negotiation.hold()
    elif what == "hold inactive":
        end.negotiation.hold(inactive=True)
    elif what == "resume":
        end.negotiation.resume()
    elif what == "move":
        end.place = PLACES[place]


def exchange(offerer: End, answerer: End, fate: str) -> bool:
    """Whether both ends know of the outcome."""
    offer = offerer.sent(offerer.negotiation.make_offer(offerer.place, 0.0))
    if fate == "glare":
        answerer.sent(answerer.negotiation.make_offer(answerer.place, 0.0))
        try:
            answerer.negotiation.receive_offer(offer, answerer.place, 0.0)
        except RemoteError as error:
            assert error.status == 491
        answerer.negotiation.rollback()
    if fate in ("refused", "glare"):
        offerer.negotiation.rollback()
        return False
    answer = answerer.sent(answerer.negotiation.receive_offer(offer, answerer.place, 0.0))
    answerer.drain()
    if fate == "answer lost":
        offerer.negotiation.rollback()
        return False
    offerer.negotiation.receive_answer(answer, 0.0)
    offerer.drain()
    return True


def assert_mirrored(a: End, b: End) -> None:
    for one, other in ((a, b), (b, a)):
        here, there = one.agreement(), other.agreement()
        assert here.remote == there.local.rtp
        assert here.direction is there.direction.reversed
        assert (here.rtcp_mux, here.profile, here.extensions) == (
            there.rtcp_mux,
            there.profile,
            there.extensions,
        )
        if not here.rtcp_mux:
            next_port = Address(there.local.rtp.host, there.local.rtp.port + 1)
            assert here.remote_rtcp == (there.local.rtcp or next_port)
        mine, yours = here.codecs + here.telephone_events, there.codecs + there.telephone_events
        assert [f.format for f in mine] == [f.format for f in yours]
        assert [f.send_type for f in mine] == [f.receive_type for f in yours]
        assert all(there.receive_types[f.send_type] == f.format for f in mine)
        assert here.held_locally == one.negotiation.held
    if a.keys or b.keys:
        assert a.keys is not None
        assert b.keys == SrtpKeys(a.keys.suite, a.keys.remote, a.keys.local)


@settings(max_examples=150, deadline=None)
@given(CONFIGS, CONFIGS, st.sampled_from(["sdes", "none"]), st.lists(STEPS, max_size=12))
def test_any_sequence_ends_in_mirror_images(
    first: MediaConfig, second: MediaConfig, keying: str, steps: list[tuple[bool, str, int, str]]
) -> None:
    a = End("a", MediaConfig(**{**vars(first), "keying": keying}))
    b = End("b", MediaConfig(**{**vars(second), "keying": keying}))
    if not set(first.codecs) & set(second.codecs):
        return
    b.place = PLACES[3]
    assert exchange(a, b, "answered")
    assert_mirrored(a, b)
    codecs = [f.format for f in a.agreement().codecs]
    for who, what, place, fate in steps:
        offerer, answerer = (a, b) if who else (b, a)
        change(offerer, what, place)
        if exchange(offerer, answerer, fate):
            assert_mirrored(a, b)
    for offerer, answerer in ((a, b), (b, a)):
        offerer.negotiation.resume()
        assert exchange(offerer, answerer, "answered")
        assert_mirrored(a, b)
    assert a.agreement().direction is Direction.SENDRECV
    assert (a.agreement().held_by, b.agreement().held_by) == ("", "")
    assert [f.format for f in a.agreement().codecs] == codecs


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["hold", "resume", "move"]), st.integers(0, 3)), max_size=12
    )
)
def test_each_end_knows_who_holds(steps: list[tuple[bool, str, int]]) -> None:
    a, b = End("a", MediaConfig()), End("b", MediaConfig())
    exchange(a, b, "answered")
    for who, what, place in steps:
        offerer, answerer = (a, b) if who else (b, a)
        change(offerer, what, place)
        exchange(offerer, answerer, "answered")
        assert a.agreement().held_remotely == b.negotiation.held
        assert b.agreement().held_remotely == a.negotiation.held
        assert a.agreement().sends == (not b.negotiation.held)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_two_phones_of_ours_keep_their_keys_over_all_moves(moves: list[tuple[bool, int]]) -> None:
    a, b = End("a", MediaConfig()), End("b", MediaConfig())
    exchange(a, b, "answered")
    keys = a.keys
    for who, place in moves:
        offerer, answerer = (a, b) if who else (b, a)
        change(offerer, "move", place)
        exchange(offerer, answerer, "answered")
    assert a.keys is keys
    assert_mirrored(a, b)
