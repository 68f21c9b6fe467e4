"""What a move costs the ear by PESQ: nothing where there is an overlap, and the control shows that it would tell.

Here because the library is compiled when it is installed (tools/run_tests.py).
"""

from collections.abc import Callable

import numpy as np
import pytest

from segue.base.frame import Samples
from segue.lab.measure.pesq_score import pesq_around, pesq_available
from segue.lab.measure.spoken import spoken_signal
from segue.media.codecs import codec_for
from segue.media.playout import Playout
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not pesq_available(), reason="PESQ is not installed (pip install 'segue[pesq]')"),
]

PACKET = 0.020
COMPLETE = SpeechPolicy(complete=True, limit=3.0, resent=True)
MOVES = (5.0, 11.2, 18.1)


def hear(
    name: str, path: Callable[[float], list[float]], policy: SpeechPolicy
) -> tuple[Samples, Samples, int]:
    """The recording, the talk, their rate; `path`: when the copies of a packet sent at a time arrive."""
    talker, playout = codec_for(name), Playout({96: codec_for(name)}, policy=policy)
    rate = talker.sample_rate
    talk = spoken_signal("speech", rate)
    frames = talk[: len(talk) // talker.frame_samples * talker.frame_samples].reshape(
        -1, talker.frame_samples
    )
    payloads = [talker.encode(frame) for frame in frames]
    arrivals = sorted((at, number) for number in range(len(frames)) for at in path(number * PACKET))
    recording, came = [], set()
    for tick in range(len(frames)):
        now = tick * PACKET + 0.007
        while arrivals and arrivals[0][0] <= now:
            at, number = arrivals.pop(0)
            if number not in came:
                came.add(number)
                playout.put(96, number, number * talker.frame_ticks, payloads[number], at)
        recording.append(playout.get(now).samples)
    return np.concatenate(recording), talk, rate


def soft(move: float, before: float, after: float) -> Callable[[float], list[float]]:
    """Delays of the old and the new path; for half a second packets go over both."""
    return lambda sent: [sent + before] * (sent < move + 0.25) + [sent + after] * (sent >= move - 0.25)


def hard(move: float) -> Callable[[float], list[float]]:
    return lambda sent: [] if move <= sent < move + 0.4 else [sent + 0.03]


@pytest.mark.parametrize("name", ["PCMA", "G722", "opus"])
@pytest.mark.parametrize(("before", "after"), [(0.025, 0.060), (0.060, 0.025)])
def test_a_soft_move_is_not_heard(name: str, before: float, after: float) -> None:
    """WLAN to 3G and back: 35 ms of difference."""
    drops = []
    still, talk, rate = hear(name, lambda sent: [sent + before], COMPLETE)
    for move in MOVES:
        moved, _, _ = hear(name, soft(move, before, after), COMPLETE)
        scores = [pesq_around(each, talk, rate, name, move) for each in (still, moved)]
        assert scores[0] is not None and scores[1] is not None
        drops.append(scores[0].heard - scores[1].heard)
    assert max(drops) <= 0.1


def test_a_gap_is_heard() -> None:
    """The control."""
    scores = [pesq_around(*hear("PCMA", hard(move), CONTINUOUS), "PCMA", move) for move in MOVES]
    assert all(score is not None and score.drop >= 0.3 for score in scores)


def test_an_undisturbed_call_scores_as_its_codec_does() -> None:
    for name, least in (("PCMA", 4.2), ("G722", 3.9), ("opus", 3.5)):
        score = pesq_around(*hear(name, lambda sent: [sent + 0.03], COMPLETE), name, 12.0)
        assert score is not None
        assert score.undisturbed >= least
        assert abs(score.drop) <= 0.15
