"""Which feedback two ends agree on: RTP/SAVPF as the standard has it, or two Segue phones by themselves."""

from __future__ import annotations

import pytest

from segue.base.address import Address
from segue.call.agreement import LocalMedia, MediaAgreement
from segue.call.config import MediaConfig
from segue.call.extensions import LONGEST_WAIT, parse_wait, write_wait
from segue.call.feedback import NO_FEEDBACK, Feedback
from segue.call.keying import Keying
from segue.call.negotiation import Negotiation
from segue.protocols.sdp import MediaDescription, parse_sdp
from segue.testing import SeededEntropy

HERE = LocalMedia(Address("192.0.2.1", 40000))
THERE = LocalMedia(Address("203.0.113.2", 50000))


def negotiation(name: str, **config: object) -> Negotiation:
    media = MediaConfig(**config)  # type: ignore[arg-type]
    entropy = SeededEntropy(name)
    return Negotiation(media, Keying(media, entropy).to_offer(True), entropy)


def agreed(end: Negotiation) -> MediaAgreement:
    assert end.agreement is not None
    return end.agreement


def between(first: Negotiation, second: Negotiation) -> tuple[Feedback, Feedback]:
    first.receive_answer(second.receive_offer(first.make_offer(HERE, 0.0), THERE, 0.0), 0.0)
    return agreed(first).feedback, agreed(second).feedback


def standard_offer(*lines: str, profile: str = "RTP/SAVPF") -> bytes:
    """As a phone that is none of ours offers feedback."""
    end = negotiation("stranger", extensions=())
    extra = "".join(f"a={line}\r\n" for line in lines).encode()
    return end.make_offer(HERE, 0.0).replace(b"RTP/SAVP", profile.encode()) + extra


def answered(offer: bytes, **config: object) -> tuple[MediaDescription, Feedback]:
    end = negotiation("ours", **config)
    answer = parse_sdp(end.receive_offer(offer, THERE, 0.0))
    return answer.media[0], agreed(end).feedback


def test_two_of_ours_send_again_whoever_waits() -> None:
    both = Feedback(answers=True, asks=True, resumes=True, peer_waits=3.0, reduced_size=True)
    assert between(negotiation("a"), negotiation("b")) == (both, both)


def test_each_says_for_itself_how_long_it_waits() -> None:
    first, second = between(
        negotiation("a", speech_limit=1.5), negotiation("b", speech="continuous", speech_limit=2.0)
    )
    assert (first.asks, first.peer_waits) == (True, 0.0)
    assert (second.asks, second.peer_waits) == (False, 1.5)
    assert first.answers and second.answers


def test_a_phone_that_does_not_list_it_gets_nothing_of_it() -> None:
    assert between(negotiation("a"), negotiation("b", extensions=())) == (NO_FEEDBACK, NO_FEEDBACK)
    offer = parse_sdp(negotiation("b", extensions=()).make_offer(HERE, 0.0)).media[0]
    assert not offer.has("x-segue-wait") and not offer.has("rtcp-fb")


def test_we_offer_what_every_phone_takes() -> None:
    offer = parse_sdp(negotiation("a").make_offer(HERE, 0.0)).media[0]
    assert offer.protocol == "RTP/SAVP"
    assert "resend" in (offer.value("x-segue") or "").split()
    assert not offer.has("rtcp-fb") and not offer.has("rtcp-rsize")


def test_feedback_that_is_offered_is_answered_as_it_was() -> None:
    """RFC 4585 section 4.2: nothing is added, what is not understood is removed, values stay."""
    part, feedback = answered(
        standard_offer("rtcp-fb:* nack", "rtcp-fb:* nack pli", "rtcp-fb:* trr-int 1000", "rtcp-fb:* ccm fir")
    )
    assert part.protocol == "RTP/SAVPF"
    assert part.values("rtcp-fb") == ["* nack", "* trr-int 1000"]
    assert not part.has("rtcp-rsize")
    assert feedback == Feedback(answers=True, asks=True, report_interval=1.0)


def test_feedback_for_one_payload_type() -> None:
    """RFC 4585 section 4.4, example 1: events are to arrive. We answer whatever is asked for, and ask for speech."""
    _, spoken = answered(standard_offer("rtcp-fb:96 nack"))
    part, other = answered(standard_offer("rtcp-fb:101 nack", "rtcp-rsize"))
    assert spoken.answers and spoken.asks
    assert other.answers and not other.asks
    assert part.values("rtcp-fb") == ["101 nack"]
    assert other.reduced_size and part.has("rtcp-rsize")


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("rtcp-fb:* nack pli",),
        ("rtcp-fb:* ack rpsi",),
        ("rtcp-fb:",),
        ("rtcp-fb:* ",),
        ("rtcp-fb:nack",),
        ("rtcp-fb:* trr-int many",),
        ("rtcp-fb:63 nack",),
    ],
)
def test_feedback_that_is_not_listed_is_not_used(lines: tuple[str, ...]) -> None:
    part, feedback = answered(standard_offer(*lines))
    assert feedback == NO_FEEDBACK
    assert not part.has("rtcp-fb")


def test_without_the_profile_its_attributes_mean_nothing() -> None:
    """RFC 4585 section 4.2."""
    part, feedback = answered(standard_offer("rtcp-fb:* nack", "rtcp-rsize", profile="RTP/SAVP"))
    assert feedback == NO_FEEDBACK
    assert not part.has("rtcp-fb") and not part.has("rtcp-rsize")


def test_who_does_not_wait_does_not_ask_but_answers() -> None:
    _, feedback = answered(standard_offer("rtcp-fb:* nack"), speech="continuous")
    assert feedback.answers and not feedback.asks


def test_our_next_offer_keeps_what_the_peer_began() -> None:
    ours, theirs = negotiation("ours"), negotiation("stranger", extensions=())
    offer = theirs.make_offer(HERE, 0.0).replace(b"RTP/SAVP", b"RTP/SAVPF") + b"a=rtcp-fb:* nack\r\n"
    ours.receive_offer(offer, THERE, 0.0)
    again = ours.make_offer(THERE, 1.0)
    part = parse_sdp(again).media[0]
    assert part.protocol == "RTP/SAVPF"
    assert part.values("rtcp-fb") == ["* nack"]
    second = negotiation("second", extensions=())
    ours.receive_answer(second.receive_offer(again, HERE, 1.0), 1.0)
    assert agreed(ours).feedback.asks


def test_feedback_in_a_re_offer_is_not_lower_and_comes_into_force() -> None:
    first, second = negotiation("a", extensions=()), negotiation("b")
    assert between(first, second)[1] == NO_FEEDBACK
    offer = first.make_offer(HERE, 1.0).replace(b"RTP/SAVP", b"RTP/SAVPF") + b"a=rtcp-fb:* nack\r\n"
    answer = second.receive_offer(offer, THERE, 1.0)
    assert parse_sdp(answer).media[0].protocol == "RTP/SAVPF"
    assert agreed(second).secure and agreed(second).feedback.answers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3000", 3.0),
        ("0", 0.0),
        (None, 0.0),
        ("", 0.0),
        ("-1", 0.0),
        ("٣", 0.0),
        ("1e3", 0.0),
        ("9" * 30, 0.0),
    ],
)
def test_how_long_the_peer_waits(text: str | None, seconds: float) -> None:
    assert parse_wait(text) == seconds


def test_nobody_waits_longer_than_anything_is_kept() -> None:
    assert parse_wait("999999999") == LONGEST_WAIT / 1000
    assert write_wait(60.0) == str(LONGEST_WAIT)
    assert parse_wait(write_wait(2.5)) == 2.5
