"""Which late packets say how much delay the path needs, and which say only that it was gone for a while.

Jitter is learnt from. What an outage held up, or what was sent again, is not: no delay would have covered it, and all
that came of a longer one would be a longer way for every word. Unless outages go on: then they are what the path is
like.
"""

from __future__ import annotations

from segue.media.arrival_delay import LARGEST_TARGET, STEP, ArrivalDelay
from segue.media.speech_policy import SpeechPolicy

OUTAGE = 0.15  # seconds of starvation that are no jitter but a move or a fault of the network
OUTAGES_APART = 10.0  # seconds: trouble that is nearer to other trouble than this is what the path is like
GAP = 0.06  # seconds without a packet that are more than jitter when an outage is expected
REPAIR = 0.5  # seconds after an outage in which reordered packets are what it held up
LONGEST_LOSS = 4  # packets missing in a row that a bad link loses; more is an outage
REPAIRED_TIME = 20.0  # seconds after a packet was sent again for which the delay allows for another

NEVER = float("-inf")


class Lateness:
    """What becomes known of one path while packets come, told to its `ArrivalDelay`. Delays are arrival times less
    timestamps, in seconds."""

    __slots__ = (
        "_arrival",
        "_ended",
        "_outage_at",
        "_repaired_at",
        "_trouble",
        "_trouble_before",
        "expected_until",
    )

    def __init__(self, arrival: ArrivalDelay) -> None:
        self._arrival = arrival
        self._outage_at = NEVER  # when the last outage ended
        self._ended = NEVER  # the beginning of the starvation that ended last
        self.expected_until = NEVER  # the next outage, if it ends by then
        self._repaired_at = NEVER  # when more was missing than a bad link loses, or came of it
        self._trouble = NEVER  # when the path last needed more than the delay there was
        self._trouble_before = NEVER

    def expect_outage(self, until: float) -> None:
        """What is missing next is an outage, however short, if it ends by then."""
        self.expected_until = until

    def first_since(self, heard_at: float, now: float) -> None:
        """The first packet since then, and an outage is expected: was that it?"""
        if now >= self.expected_until:
            self.expected_until = NEVER
        elif now - heard_at >= GAP:
            self._outage_at = now
            self.expected_until = NEVER
            self._resume(heard_at, now)

    def _resume(self, since: float, now: float) -> None:
        self._arrival.resume(now)
        self._arrival.learn_nothing(2 * now - since + REPAIR)

    def hole(self, packets: int, lasting: float, now: float) -> None:
        """So many are missing in a row, of so many seconds. If they are sent again at twice real time, the newest may
        queue behind them for as long."""
        if packets > LONGEST_LOSS:
            self._repaired_at = now
            self._arrival.learn_nothing(now + lasting + REPAIR)

    def starvation_ended(self, delay: float, since: float, policy: SpeechPolicy, now: float) -> None:
        """A packet came with this delay, after none were there `since` a time."""
        if since == self._ended or self._arrival.held_up:  # others came before it, too late or just now
            self._arrival.observe(delay, now)
            return
        self._ended = since
        outage = now - since >= OUTAGE
        if policy.complete and (outage or self._is_first(policy, now)):
            self._outage_at = now
            self._resume(since, now)
            return
        if not outage or now - self._outage_at < OUTAGES_APART:
            self._arrival.observe(delay, now)
        if outage:
            self._outage_at = now
        self._arrival.anchor(delay, now)

    def reordered(self, delay: float, policy: SpeechPolicy, now: float) -> None:
        """A packet came after newer ones. Where packets are lost now and then and sent again, they are in time
        when the delay is as long as that takes."""
        if now - max(self._outage_at, self._repaired_at) < REPAIR:
            self._repaired_at = now
        elif not policy.waits:
            self._arrival.observe(delay, now)
        elif (late := delay - self._arrival.base) < LARGEST_TARGET and not self._is_first(policy, now):
            self._arrival.require(late + 2 * STEP, now, REPAIRED_TIME)

    def _is_first(self, policy: SpeechPolicy, now: float) -> bool:
        """Where every word is waited for, the first trouble costs no more than a moment of silence."""
        before, self._trouble = self._trouble, now
        if now - before > REPAIR:
            self._trouble_before = before
        return policy.waits and now - self._trouble_before > OUTAGES_APART
