"""What is told of ICE, by offer and answer and by INFO after them."""

from __future__ import annotations

from dataclasses import replace

from segue.base.address import Address
from segue.base.ice_description import Candidate, CandidateType, IceDescription
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.call.ice_words import IceWords
from segue.protocols.sdp import Attribute

FIRST = Candidate("1", 1, 2130706431, Address("192.0.2.1", 4000), CandidateType.HOST)
SECOND = replace(FIRST, foundation="2", address=Address("198.51.100.1", 4000))
ONE = IceDescription("ours", Secret("p" * 22), candidates=(FIRST,))
BOTH = replace(ONE, candidates=(FIRST, SECOND))


def words() -> IceWords:
    return IceWords(MemoryTrace())


def test_an_info_tells_what_came_after_the_offer_once() -> None:
    alice = words()
    assert alice.tell(ONE)[0] == Attribute("mid", "audio")
    assert alice.fragment(BOTH) == b"", "nobody has found anything, and nobody waits"
    alice.unheard = True
    assert b"198.51.100.1 4000" in alice.fragment(BOTH)
    alice.unheard = True
    assert alice.fragment(BOTH) == b""


def test_the_peer_reads_what_is_new_of_the_same_session() -> None:
    alice, bob = words(), words()
    alice.tell(ONE)
    alice.unheard = True
    body = alice.fragment(BOTH)
    assert bob.read_fragment(body) == [], "nothing is known of the session"
    bob.theirs = ONE
    assert bob.read_fragment(body) == [((SECOND,), False)]
    bob.theirs = replace(ONE, ufrag="another")
    assert bob.read_fragment(body) == []


def test_a_stream_without_a_name_is_told_nothing_and_rubbish_is_dropped() -> None:
    alice = words()
    alice.mid = ""
    assert all(attribute.name != "mid" for attribute in alice.tell(ONE))
    alice.unheard = True
    assert alice.fragment(BOTH) == b""
    alice.theirs = ONE
    assert alice.read_fragment(b"v=0\r\nrubbish") == []


def test_a_session_is_known_by_both_of_its_credentials() -> None:
    alice = words()
    assert not alice.is_same_session(ONE)
    alice.theirs = ONE
    assert alice.is_same_session(BOTH)
    assert not alice.is_same_session(replace(ONE, password=Secret("q" * 22)))
