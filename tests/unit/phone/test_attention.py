"""What the sound of a call says about networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from segue.base.frame import Frame
from segue.call.call import Call, CallState
from segue.mobility.observation import CallFact, MediaFact, SpeechFact
from segue.phone.attention import Attention
from segue.phone.move_tone import BEGUN, ENDED, LENGTH, MoveTone
from segue.protocols.sdp.attributes import Direction

RATE = 8000


def a_call(**agreed: Any) -> Call:
    """As far as attention looks at it."""
    agreement = SimpleNamespace(**{"direction": Direction.SENDRECV, "held_by": "", **agreed})
    media = SimpleNamespace(
        agreement=agreement,
        paths=SimpleNamespace(active=None),
        session=SimpleNamespace(received=(0, 0), reported=(0, 0.0)),
        connectivity=SimpleNamespace(care=lambda **_: None),
    )
    return cast("Call", SimpleNamespace(state=CallState.UP, media=media))


def hears_a_while_and_then_nothing(attention: Attention) -> list[CallFact]:
    facts: list[CallFact] = []
    for tick in range(100):
        now = tick * 0.02
        if tick < 50:
            header = bytes([0x80, 8]) + tick.to_bytes(2, "big") + (160 * tick).to_bytes(4, "big") + bytes(4)
            attention.received("wlan0", header, now)
        attention.tick(now)
        facts += attention.facts()
    return facts


def test_missing_packets_of_a_call_that_is_up_are_a_fact() -> None:
    assert hears_a_while_and_then_nothing(Attention(a_call())) == [MediaFact("wlan0", silent=True)]


def test_none_are_missing_of_a_call_that_is_held_or_over() -> None:
    assert hears_a_while_and_then_nothing(Attention(a_call(held_by="peer"))) == []
    assert hears_a_while_and_then_nothing(Attention(a_call(direction=Direction.SENDONLY))) == []
    over = a_call()
    cast("Any", over).state = CallState.ENDED
    assert hears_a_while_and_then_nothing(Attention(over)) == []


def frame(amplitude: float) -> Frame:
    noise = np.random.default_rng(1).normal(0, amplitude, RATE // 50)
    return Frame(noise.astype(np.int16), RATE, 0.0)


def test_somebody_speaks_when_one_of_the_two_does() -> None:
    attention = Attention(a_call())
    for spoken, heard in [(10, 10)] * 20 + [(10, 3000)] * 5 + [(10, 10)] * 20 + [(3000, 10)] * 5:
        attention.listen(frame(spoken), frame(heard))
    assert attention.facts() == [SpeechFact(True), SpeechFact(False), SpeechFact(True)]
    attention.rest()
    attention.rest()
    assert attention.facts() == [SpeechFact(False)]


def strength(samples: Any, pitch: float) -> float:
    """Of one pitch, as part of full scale."""
    turns = np.exp(-2j * np.pi * pitch * np.arange(len(samples)) / RATE)
    return 2 * abs(np.dot(samples / 32768, turns)) / len(samples)


def test_tones_are_heard_one_after_the_other_and_leave_the_rest_as_it_is() -> None:
    tone = MoveTone()
    quiet = Frame(np.zeros(RATE // 50, dtype=np.int16), RATE, 0.0)
    assert tone.mix(quiet) is quiet
    tone.sound(BEGUN)
    tone.sound(ENDED)
    heard = np.concatenate([tone.mix(quiet).samples for _ in range(20)])
    first, second, rest = np.split(heard, [int(LENGTH * RATE), 2 * int(LENGTH * RATE)])
    assert strength(first, BEGUN) > 0.05 > 10 * strength(first, ENDED)
    assert strength(second, ENDED) > 0.05 > 10 * strength(second, BEGUN)
    assert not rest.any()
    assert abs(int(heard[0])) < 100 and np.abs(np.diff(heard.astype(int))).max() < 2500, "no click"


def test_a_tone_beside_the_loudest_speech_does_not_wrap() -> None:
    tone = MoveTone()
    tone.sound(BEGUN)
    mixed = tone.mix(Frame(np.full(RATE // 50, 32767, dtype=np.int16), RATE, 0.0)).samples
    assert mixed.min() > 30000


def test_a_phone_that_moves_again_and_again_does_not_sing() -> None:
    tone = MoveTone()
    for _ in range(50):
        tone.sound(BEGUN)
    quiet = Frame(np.zeros(RATE // 50, dtype=np.int16), RATE, 0.0)
    assert sum(tone.mix(quiet).samples.any() for _ in range(200)) <= 18
