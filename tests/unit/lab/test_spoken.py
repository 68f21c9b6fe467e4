"""A recording of real speech, cut and mixed up: what is missing and what comes again is found."""

from __future__ import annotations

import numpy as np
import pytest

from segue.base.frame import Samples
from segue.lab.measure.spoken import places, repeated, spoken_signal, unheard
from segue.media.codecs import codec_for

RATE = 8000


@pytest.fixture(scope="module")
def speech() -> Samples:
    return spoken_signal("speech", RATE)


def through_g711(samples: Samples) -> Samples:
    codec = codec_for("PCMA")
    whole = len(samples) // 160 * 160
    return np.concatenate([codec.decode(codec.encode(samples[i : i + 160])) for i in range(0, whole, 160)])


def test_an_untouched_call_misses_and_repeats_nothing(speech: Samples) -> None:
    heard = np.concatenate((np.zeros(1000, np.int16), through_g711(speech[: 8 * RATE])))
    found = places(heard, speech, RATE)
    assert len(found) > 80
    assert unheard(found, speech, RATE, 8.0) == []
    assert repeated(found) == 0


def test_speech_goes_round(speech: Samples) -> None:
    twice = np.concatenate((speech[-4 * RATE :], speech[: 4 * RATE]))
    found = places(twice, speech, RATE)
    assert found[-1].spoken > len(speech) / RATE
    assert repeated(found) == 0 and sum(t for _, t in unheard(found, speech, RATE, 8.0)) < 0.1


def test_an_outage_is_found(speech: Samples) -> None:
    heard = through_g711(speech[: 8 * RATE]).copy()
    loud = next(
        t for t in range(2 * RATE, 6 * RATE, 400) if np.abs(speech[t : t + 3200].astype(float)).mean() > 1500
    )
    heard[loud : loud + 3200] = 0  # 400 ms
    missing = sum(t for _, t in unheard(places(heard, speech, RATE), speech, RATE, 8.0))
    assert 0.2 <= missing <= 0.5


def test_one_window_that_resembles_what_is_said_later_is_no_sign_of_a_replay(speech: Samples) -> None:
    heard = through_g711(speech[: 8 * RATE]).copy()
    heard[4 * RATE + 80 : 4 * RATE + 560] = speech[5 * RATE + 80 : 5 * RATE + 560]
    assert repeated(places(heard, speech, RATE)) == 0


def test_replayed_packets_are_found(speech: Samples) -> None:
    heard = through_g711(speech[: 8 * RATE]).copy()
    heard[5 * RATE : 6 * RATE] = heard[3 * RATE : 4 * RATE]  # a second of what was said before
    assert repeated(places(heard, speech, RATE)) >= 10


@pytest.mark.parametrize("heard", [0.0, 3.0])
def test_what_never_came_back_is_unheard(speech: Samples, heard: float) -> None:
    """The louder part of twenty seconds."""
    recording = np.concatenate((speech[: int(heard * RATE)], np.zeros(int((20 - heard) * RATE), np.int16)))
    missing = sum(t for _, t in unheard(places(recording, speech, RATE), speech, RATE, 20.0))
    assert 5.0 < missing < 20.0 - heard
