"""From packets to sound: a frame of 20 ms for every tick of the packet clock, whatever the network did.

Jitter buffer, decoder and concealment, and time scaling where the delay is to change: in pauses by up to
15 ms a frame, in speech by at most 15 percent of any second (30 where late speech may be skipped anyway), one
pitch period at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Frame, Samples
from segue.base.resample import Resampler, resample
from segue.base.trace import NO_TRACE, Trace
from segue.media.codecs.registry import Codec
from segue.media.concealment import Concealment
from segue.media.jitter_buffer import JitterBuffer, Missing
from segue.media.level import level_dbov
from segue.media.pace import Pace
from segue.media.speech_policy import CONTINUOUS, SpeechPolicy
from segue.media.time_scale import lengthen, shorten

FRAME = 0.020  # seconds
TOO_LONG = 0.020  # seconds of delay over the target that are left alone
TOO_SHORT = 0.005  # seconds under it
SPEED = 0.145  # of speech time, at most, that is taken out or put in; 0.15 is what may be measured
FAR = 0.3  # seconds of surplus from which twice that speed is right
QUIET = -50.0  # dBov: here nobody hears a splice
ALIKE = 0.8  # likeness of two pieces that may be joined in speech as soon as a splice is due
ANY = -1.0  # and of those that are not alike at all
CALM = 1.5  # by how much less alike they may be for each second in which none were
HURRY = 10.0  # the same while the talk catches up
LATE = 0.1  # seconds of surplus from which it does, until none is left
SHORT = 0.02  # seconds of want in which any will do: a word lost is worse than a splice heard
CAUGHT_UP = 1.0  # seconds of the right delay: what is the fastest packet shows only when the others have come
LATER = 3.0  # seconds after which something is done about a delay that does not press, in pauses
MUCH_LATER = 10.0  # and in speech
PAUSE = 0.2  # seconds of quiet that are no part of a word

_NOTHING: Samples = np.zeros(0, dtype=np.int16)


@dataclass
class PlayoutStatistics:
    """Milliseconds of what was played since the beginning, by where they came from; packets by their fate."""

    decoded_ms: float = 0.0
    recovered_ms: float = 0.0  # from redundancy in the next packet
    concealed_ms: float = 0.0  # invented, later packets were there
    starved_ms: float = 0.0  # inserted, invented or silent: the next packet was not there yet
    silence_ms: float = 0.0  # the talker paused
    shortened_ms: float = 0.0  # taken out by time scaling
    lengthened_ms: float = 0.0  # put in by time scaling
    malformed: int = 0  # packets that their decoder refused
    received: int = 0  # packets, first copies
    duplicates: int = 0
    late: int = 0
    missing: int = 0  # not there when they were due, come later or never
    discarded: int = 0  # overflow, strays, skipped
    restarts: int = 0  # of the stream: another source, other timestamps
    given_up_ms: float = 0.0  # of the talk that were jumped over: too late, or never sent again
    target_ms: float = 0.0  # the delay that is aimed at, behind the fastest recent packet


def _bridge(rate: int) -> Concealment:
    """What is played while the talk stands still: it fades soon, and repeats nothing that goes on afterwards."""
    return Concealment(rate, silent_at=0.040, periods=1)


class Playout:
    """One received stream as PCM.

    `codecs` maps the payload types that were agreed to their decoders; one stream may change between them
    at any packet. Frames have `rate` Hz (default: that of the first codec).
    """

    def __init__(
        self,
        codecs: Mapping[int, Codec],
        rate: int | None = None,
        trace: Trace = NO_TRACE,
        policy: SpeechPolicy = CONTINUOUS,
    ) -> None:
        if not codecs:
            raise LocalError("no codec to play with", "agree on one first")
        self._codecs = dict(codecs)
        self._codec: Codec = next(iter(self._codecs.values()))
        self.rate = rate or self._codec.sample_rate
        self.delay = 0.0  # seconds that what was played last is behind the fastest recent packet
        self.buffer = JitterBuffer(self._codec.clock_rate, policy)
        self._trace = trace
        self._resampler: Resampler | None = None
        self._ready = _NOTHING  # decoded, not played yet; `_codec.sample_rate`
        self._before = _NOTHING  # what was played last
        self._resampled = _NOTHING  # at `rate`, not played yet
        self._bridge = _bridge(self._codec.sample_rate)
        self._waiting = False  # the talk stands still: `_bridge` is played
        self._pace = Pace()
        self._played = 0.0  # seconds of sound given
        self._catching_up = False
        self._quiet_for = 0.0  # seconds until now
        self._right_for = 0.0  # seconds for which it has been right while catching up
        self._off_for = 0.0  # seconds for which the delay has been too long or too short
        self._tried_for = 0.0  # seconds for which no two pieces were alike enough to be joined
        self._real = False  # the last piece pulled came from a packet
        self._pulled = PlayoutStatistics()
        self._choose(self._codec)

    def use_codecs(self, codecs: Mapping[int, Codec]) -> None:
        """Another agreement. Packets of the old one that are held are still played."""
        self._codecs = dict(codecs)

    @property
    def codec(self) -> Codec:
        """The codec of what is played now."""
        return self._codec

    @property
    def statistics(self) -> PlayoutStatistics:
        """A snapshot."""
        buffer, values = self.buffer, dict(vars(self._pulled))
        for name in ("received", "duplicates", "late", "missing", "discarded", "restarts"):
            values[name] = getattr(buffer, name)
        values["given_up_ms"] = buffer.given_up * 1000
        values["target_ms"] = buffer.target * 1000
        return PlayoutStatistics(**values)

    @property
    def policy(self) -> SpeechPolicy:
        """What becomes of late speech; may be changed at any time."""
        return self.buffer.policy

    @policy.setter
    def policy(self, policy: SpeechPolicy) -> None:
        self.buffer.policy = policy

    def stand_still(self) -> None:
        """Nothing will be sent to us until another agreement."""
        self.buffer.stand_still()

    def expect_outage(self, now: float) -> None:
        """Our own link is gone: what comes when it is back was held up, and is not to be taken for jitter."""
        self.buffer.expect_outage(now)

    def expect_move(self, extra: float, now: float, duration: float) -> None:
        """A move is expected, after which packets may come `extra` seconds later: have as much more delay, for
        `duration` seconds. It grows at once and shrinks afterwards, as fast as speech may be scaled (Vatn 2005)."""
        self.buffer.expect_move(extra, now, duration)

    def abandon(self, sequences: Iterable[int]) -> None:
        """RTP packets that will not come, or carry no sound: they are not waited for."""
        self.buffer.abandon(sequences)

    # --- packets in

    def put(
        self, payload_type: int, sequence: int, timestamp: int, payload: bytes, now: float, source: int = 0
    ) -> bool:
        """Take an RTP packet (its SSRC as `source`) that arrived at `now`; returns whether it is kept."""
        codec = self._codecs.get(payload_type)
        if codec is None:
            self._trace.drop("media", "payload type not agreed", payload_type=payload_type)
            self.buffer.abandon((sequence,))
            return False
        ticks = codec.ticks(payload)
        if not ticks:
            self._trace.drop("media", "malformed payload", codec=codec.name, octets=len(payload))
            self.buffer.abandon((sequence,))
            return False
        if codec is not self._codec and codec.clock_rate != self._codec.clock_rate:
            if self.buffer.is_older(sequence):
                self._trace.drop("media", "sent again from before the clock changed", codec=codec.name)
                return False
            self._change_clock(codec)
        return self.buffer.put(sequence, timestamp, (codec, payload), now, ticks, source)

    def _change_clock(self, codec: Codec) -> None:
        """Timestamps have no common scale with what is held: decode that now, and begin a new stream."""
        rate = self._codec.sample_rate
        while (item := self.buffer.next_item) is not None:
            self.buffer.get(0.0)
            self._ready = np.concatenate((self._ready, self._decode(item)))
        self.buffer.use_clock(codec.clock_rate)
        self._ready = resample(self._ready, rate, codec.sample_rate)
        self._choose(codec)

    def _choose(self, codec: Codec) -> None:
        """Decode with `codec` from now on."""
        past, past_rate = self._before, self._codec.sample_rate
        if codec.sample_rate != past_rate:
            self._before = _NOTHING
            self._bridge = _bridge(codec.sample_rate)
            if self._waiting:
                self._bridge.conceal(codec.frame_samples)  # nothing, from which the sound fades in
        self._codec = codec
        self.buffer.lookahead = FRAME if codec.redundant else 0.0
        if codec.sample_rate == self.rate:
            self._resampler = None
        elif self._resampler is None or self._resampler.source_rate != codec.sample_rate:
            self._resampler = Resampler(codec.sample_rate, self.rate)
            self._resampler.push(resample(past, past_rate, codec.sample_rate))  # go on from there: no click

    # --- sound out

    def get(self, now: float) -> Frame:
        """The next 20 ms, at `rate`."""
        count = self.rate // 50
        while (have := len(self._resampled)) < count:
            samples = self._frame(now)  # which may change codec and resampler
            if self._resampler is not None:
                samples = self._resampler.push(samples)
            if not have and len(samples) == count:
                return Frame(samples, self.rate, now)
            self._resampled = np.concatenate((self._resampled, samples))
        samples, self._resampled = self._resampled[:count], self._resampled[count:]
        return Frame(samples, self.rate, now)

    def _frame(self, now: float) -> Samples:
        """20 ms at the codec's rate."""
        samples, self._ready = self._ready, _NOTHING
        self.delay = self.buffer.delay(now) + len(samples) / self._codec.sample_rate
        surplus = self.buffer.surplus(self.delay, now)
        samples = self._filled(samples, now)
        self._played += FRAME
        if self._real:
            if surplus > TOO_LONG or surplus < -TOO_SHORT:
                samples = self._filled(self._adapt(samples, surplus, now), now)
            elif self._off_for or self._catching_up:
                self._off_for = self._tried_for = self._quiet_for = 0.0
                self._right_for = (
                    self._right_for + FRAME if self.delay <= self.buffer.target + TOO_LONG else 0.0
                )
                self._catching_up = self._catching_up and self._right_for < CAUGHT_UP
        wanted = self._codec.frame_samples
        if len(samples) > wanted:
            samples, self._ready = samples[:wanted], samples[wanted:]
        self._before = samples
        return samples

    def _filled(self, samples: Samples, now: float) -> Samples:
        """These samples and what comes next, 20 ms at least."""
        if not len(samples):
            samples = self._pull(now)
        while len(samples) < self._codec.frame_samples:
            samples = self._and_more(samples, now)
        return samples

    def _and_more(self, samples: Samples, now: float) -> Samples:
        """These samples and what comes next, at the rate of the latter."""
        rate = self._codec.sample_rate
        more = self._pull(now)
        return np.concatenate((resample(samples, rate, self._codec.sample_rate), more))

    def _pull(self, now: float) -> Samples:
        """What the jitter buffer has next, as sound of the same duration."""
        buffer = self.buffer
        item = buffer.get(now)
        self._real = type(item) is tuple
        if self._real:
            if buffer.jumped or self._waiting:
                return self._go_on(item)
            samples = self._decode(item)
            self._bridge.remember(samples)
            return samples
        codec = self._codec
        count = buffer.ticks * codec.sample_rate // codec.clock_rate
        if item is Missing.BUFFERING:
            return np.zeros(count, dtype=np.int16)
        if item is Missing.STARVED:
            # The decoder is left as it is: it goes on where it stopped, as if there had been no wait.
            self._waiting = True
        return self._invent(item, count)

    def _invent(self, why: Missing, count: int) -> Samples:
        """Sound in place of a packet's."""
        pulled, duration = self._pulled, 1000.0 * count / self._codec.sample_rate
        recovered = self._recover(count) if why is Missing.LOST else None
        if recovered is not None:
            pulled.recovered_ms += duration
        elif why is Missing.LOST:
            pulled.concealed_ms += duration
        elif why is Missing.SILENCE:
            pulled.silence_ms += duration
        else:
            pulled.starved_ms += duration
        if recovered is None and self._waiting:
            return self._bridge.conceal(count)
        self._waiting = False
        return self._bridge.heard(self._codec.conceal(count) if recovered is None else recovered)

    def _go_on(self, item: Any) -> Samples:
        """After a wait, or where something was jumped over: what comes is faded in, in the latter case over what
        would have come; then a decoder that conceals by itself is told."""
        if self.buffer.jumped:
            self.buffer.jumped = False
            if self._codec.redundant:
                self._codec.conceal(self._codec.frame_samples)
            if not self._waiting:
                self._bridge.conceal(0)
        samples = self._decode(item)
        if self._waiting:
            self._waiting, self._catching_up = False, self.policy.complete
        return self._bridge.heard(samples)

    def _decode(self, item: Any) -> Samples:
        codec: Codec = item[0]
        payload: bytes = item[1]
        if codec is not self._codec:
            self._choose(codec)
        try:
            samples = codec.decode(payload)
        except RemoteError as error:
            self._pulled.malformed += 1
            self._trace.drop("media", "payload not decoded", codec=codec.name, problem=error.problem)
            count = max(1, codec.ticks(payload) * codec.sample_rate // codec.clock_rate)
            return codec.conceal(count)
        self._pulled.decoded_ms += 1000.0 * len(samples) / codec.sample_rate
        return samples

    def _recover(self, count: int) -> Samples | None:
        item, codec = self.buffer.next_item, self._codec
        if item is None or item[0] != codec:
            return None
        try:
            return codec.recover(count, item[1])
        except RemoteError:
            return None

    # --- changing the delay

    def _adapt(self, samples: Samples, surplus: float, now: float) -> Samples:
        """Take out or put in a little of `samples`, towards a surplus of 0."""
        quiet = level_dbov(samples) < QUIET
        self._quiet_for = self._quiet_for + FRAME if quiet else 0.0
        self._off_for += FRAME
        self._right_for = 0.0
        self._catching_up = self._catching_up or surplus > LATE
        if not self._may_change(surplus, quiet):
            return samples
        few = len(samples) < 2 * self._codec.frame_samples  # for a pitch period and the fade
        if surplus > 0.0 and few and self.buffer.next_item is not None:
            samples = self._and_more(samples, now)
        rate, before = self._codec.sample_rate, len(samples)
        if surplus > 0.0:
            changed, likeness = shorten(samples, rate, surplus)
        else:
            changed, likeness = lengthen(self._before, samples, rate, -surplus)
        if not quiet and likeness < self._alike_enough(surplus):
            self._tried_for += FRAME
            return samples
        change = (len(changed) - before) / rate
        if not quiet:
            self._tried_for = 0.0
            self._pace.changed(self._played, abs(change), self._speed(surplus))
        if change < 0.0:
            self._pulled.shortened_ms -= 1000.0 * change
        else:
            self._pulled.lengthened_ms += 1000.0 * change
        return changed

    def _may_change(self, surplus: float, quiet: bool) -> bool:
        """Who waits for every word has some delay to spare, so that one which is a little off does not press: it is
        left alone for some seconds, then changed between sentences, and much later in speech."""
        if self._presses(surplus):
            return quiet or self._pace.due(self._played, self._speed(surplus))
        if quiet:
            return self._off_for >= LATER and self._quiet_for >= PAUSE
        return surplus > 0.0 and self._off_for >= MUCH_LATER and self._pace.due(self._played, SPEED)

    def _presses(self, surplus: float) -> bool:
        if not self.policy.complete:
            return True
        return self._catching_up if surplus > 0.0 else self._want(surplus) < -TOO_SHORT

    def _want(self, surplus: float) -> float:
        """A negative surplus over what the path needs, which is less than what it is given."""
        return surplus + self.buffer.arrival.target - self.buffer.arrival.needed

    def _speed(self, surplus: float) -> float:
        """How much of each second of speech may be taken out or put in."""
        return 2 * SPEED if surplus > FAR and not self.policy.complete else SPEED

    def _alike_enough(self, surplus: float) -> float:
        """How alike two pieces of speech must be to be joined now."""
        if surplus < 0.0 and self._want(surplus) < -SHORT:
            return ANY
        return ALIKE - self._tried_for * (HURRY if self._catching_up and surplus > 0.0 else CALM)
