"""Which packet is this: index estimation and replay list (RFC 3711 sections 3.3.1, 3.3.2 and appendix A).

An index is ROC * 2**16 + SEQ for SRTP and the 31 bit SRTCP index for SRTCP. Nothing here is to be changed by
a packet that is not authenticated.
"""

from __future__ import annotations

from array import array

SMALLEST_WINDOW = 64  # RFC 3711 section 3.3.2
LARGEST_WINDOW = 1 << 15  # beyond it the estimate of the rollover counter is a coin toss
NEVER = (1 << 64) - 1  # an index that no packet has


def estimate_index(highest: int, sequence: int) -> int:
    """The index that a packet with this sequence number most likely has, `highest` being the highest so far.

    The cases are those of appendix A, the odd one at a distance of exactly 2**15 included. A guess before
    the first rollover period is instead the one within it: no packet has an index below zero.
    """
    ahead = (sequence - highest) & 0xFFFF
    index = highest + ahead
    if ahead < 0x8000 or (ahead == 0x8000 and highest & 0xFFFF < 0x8000):
        return index
    return index - 0x10000 if index >= 0x10000 else index


class ReplayList:
    """The indices accepted from one source under one key; `window` is how far below the highest one may be.

    A slot holds the whole index, so that nothing must be shifted or cleared as the window moves.
    """

    __slots__ = ("earlier", "highest", "lowest", "mask", "seen", "used", "window")

    def __init__(self, first: int, window: int) -> None:
        """`first` is accepted at once."""
        self.window = window
        self.mask = (1 << (window - 1).bit_length()) - 1
        self.seen = array("Q", [NEVER]) * (self.mask + 1)
        self.highest = self.lowest = first
        self.used = 0  # when it was used last, in packets of its owner
        self.seen[first & self.mask] = first
        self.earlier: list[tuple[int, int]] = []

    def refusal(self, index: int) -> str:
        """Why a packet with this index is not to be accepted; empty when it may be."""
        if self.highest - index >= self.window:
            return "too old"
        if self.seen[index & self.mask] == index:
            return "replayed"
        for low, high in self.earlier:
            if low <= index <= high:
                return "replayed"
        return ""

    def accept(self, index: int) -> None:
        """To be called for authenticated packets without a refusal only."""
        self.seen[index & self.mask] = index
        self.highest = max(index, self.highest)
        self.lowest = min(index, self.lowest)

    @property
    def highest_ever(self) -> int:
        """Also of before the source began anew."""
        return max([self.highest, *(high for _, high in self.earlier)])

    def may_begin_anew_at(self, index: int) -> bool:
        """Whether `index`, below the window, lies outside everything that was accepted so far."""
        return (
            len(self.earlier) < 8
            and index < self.lowest
            and not any(low <= index <= high for low, high in self.earlier)
        )

    def begin_anew(self, index: int) -> None:
        """The source has set its rollover counter back. What was accepted before stays refused for ever."""
        self.earlier.append((self.lowest, self.highest))
        self.highest = self.lowest = index
        self.seen[index & self.mask] = index
