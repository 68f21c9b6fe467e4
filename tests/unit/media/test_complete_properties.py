"""Whatever the order and the loss: complete speech repeats nothing, skips nothing below the limit, and ends."""

from hypothesis import given, settings
from hypothesis import strategies as st

from segue.media.codecs import codec_for
from segue.media.jitter_buffer import CAPACITY, JitterBuffer
from segue.media.playout import Playout
from segue.media.speech_policy import SpeechPolicy

PACKET = 0.020
LIMIT = 3.0
COMPLETE = SpeechPolicy(complete=True, limit=LIMIT, resent=True)
WAY = 0.03
MOMENT = 0.3  # seconds

TRIFLE = 3  # packets in a row that are waited for no longer than a moment
# How much later than the fastest each packet comes, in seconds; None: never. Long runs of one sort are outages.
in_time = st.floats(0.0, LIMIT - 0.1)
late = st.one_of(st.just(0.0), st.floats(0.0, 0.1), in_time)
runs = st.lists(st.tuples(late, st.integers(TRIFLE + 1, 60)), min_size=1, max_size=6)
lossy_runs = st.lists(
    st.tuples(st.one_of(st.none(), late, st.floats(LIMIT, 9.0)), st.integers(1, 60)), min_size=1, max_size=6
)


def arrivals(lateness: list[tuple[float | None, int]]) -> list[tuple[float, int]]:
    each: list[float | None] = [0.0] * 5
    for extra, count in lateness:
        each += [extra] * count
    times = [(n * PACKET + WAY + extra, n) for n, extra in enumerate(each) if extra is not None]
    return sorted(times)


def play(times: list[tuple[float, int]], first: int, seconds: float) -> tuple[list[int], JitterBuffer]:
    buffer, waiting, found = JitterBuffer(8000, COMPLETE), list(times), []
    for tick in range(int(seconds / PACKET)):
        now = tick * PACKET + 0.007
        while waiting and waiting[0][0] <= now:
            at, number = waiting.pop(0)
            buffer.put((first + number) & 0xFFFF, (first + number) * 160 & 0xFFFFFFFF, number, at)
        buffer.surplus(buffer.delay(now), now)  # as playout does each tick
        item = buffer.get(now)
        if isinstance(item, int):
            found.append(item)
        assert len(buffer) <= CAPACITY
    return found, buffer


@settings(max_examples=60, deadline=None)
@given(runs, st.integers(0, 65_535))
def test_what_comes_below_the_limit_is_played_once_and_in_order(
    lateness: list[tuple[float, int]], first: int
) -> None:
    times = arrivals([*lateness])
    found, buffer = play(times, first, len(times) * PACKET + 2 * LIMIT)
    assert found == list(range(len(times)))
    assert buffer.given_up == 0.0


@settings(max_examples=60, deadline=None)
@given(lossy_runs, st.integers(0, 65_535))
def test_whatever_is_missing_nothing_is_repeated_and_the_talk_goes_on(
    lateness: list[tuple[float | None, int]], first: int
) -> None:
    """What comes below the limit behind the fastest packet is played, whatever else is missing."""
    times = arrivals([*lateness, (0.0, 30)])
    found, _ = play(times, first, 2 * LIMIT + 12.0)
    assert found == sorted(set(found))
    below = {number for at, number in times if at - number * PACKET - WAY < LIMIT - 0.1}
    skipped = sorted(below - set(found))
    assert all(not {each + step for step in range(TRIFLE + 1)} <= set(skipped) for each in skipped)
    assert below & set(found) >= {number for at, number in times if at - number * PACKET - WAY < MOMENT}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 65_535),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2),
            st.integers(0, 400),
            st.floats(0.0, 0.3),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_any_packets_at_all_leave_a_playout_that_plays(
    packets: list[tuple[int, int, int, int, float, bool]],
) -> None:
    playout = Playout({0: codec_for("PCMU"), 1: codec_for("opus")}, policy=COMPLETE)
    now = 0.0
    for sequence, timestamp, kind, octets, wait, abandoned in packets:
        now += wait
        playout.put(kind, sequence, timestamp, bytes(octets), now)
        if abandoned:
            playout.abandon((sequence + 1, sequence + 2))
        assert len(playout.get(now).samples) == 160
    for _ in range(5):
        now += PACKET
        assert len(playout.get(now).samples) == 160
    assert len(playout.buffer) <= CAPACITY
