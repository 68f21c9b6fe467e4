"""What becomes of speech that comes late: dropped, or played all the same."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST_DELAY = 0.020  # seconds behind the fastest packet
SMALLEST_COMPLETE = 0.060
LARGEST_DELAY = 1.0  # seconds behind the fastest packet at which the oldest sound is skipped


@dataclass(frozen=True)
class SpeechPolicy:
    """`complete`: every word is played, once and in order, however late it comes, up to `limit` seconds; the talk is
    later afterwards, and catches up. Otherwise (continuous) what is missing is concealed, and the talk goes on.

    `resent`: the other end sends again what is missing, so that it is waited for; otherwise only what comes by itself
    is. Nothing is played later than `limit` seconds behind the fastest recent packet.
    """

    complete: bool = False
    limit: float = LARGEST_DELAY
    resent: bool = False

    @property
    def waits(self) -> bool:
        """For what is missing though newer packets are there."""
        return self.complete and self.resent

    @property
    def smallest_delay(self) -> float:
        """Seconds that even a perfect path is given. For who waits for every word they are enough to step over to
        another access network without a sound: 40 ms more of a 3G's, and some jitter."""
        return SMALLEST_COMPLETE if self.complete else SMALLEST_DELAY


CONTINUOUS = SpeechPolicy()
