"""SRTP of one direction, receiving side: the crypto contexts of all the peer's SSRCs under its master keys, of
whatever suites.

A packet is tried with the context that served its SSRC last; only what that refuses sees the other keys. No
packet changes anything before it is authenticated (RFC 3711 section 3.3), so that only the holder of a key
can make this room grow, and he up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from segue.base.errors import LocalError, RemoteError
from segue.base.keying import MasterKey, Suite
from segue.base.trace import NO_TRACE, Trace
from segue.protocols.rtp.packet import header_length
from segue.protocols.srtp.packet_index import (
    LARGEST_WINDOW,
    SMALLEST_WINDOW,
    ReplayList,
    estimate_index,
)
from segue.protocols.srtp.transform import SRTCP_HEADER, SRTCP_INDEX, transforms

LAST_SRTP_INDEX = (1 << 48) - 1
SRTCP_LIFETIME = 1 << 31
KEYS = 8  # master keys accepted at a time
RETIRED = 64  # master keys remembered that are not accepted any more
RTCP_WINDOW = 128
FLOORS = 1024  # SSRCs remembered after their context was given up


class _Stream(ReplayList):
    """One SSRC under one key."""

    __slots__ = ("base", "key")

    def __init__(self, key: _Key, base: int, first: int, window: int) -> None:
        super().__init__(first, window)
        self.key = key
        self.base = base  # nonce without the index


class _Key:
    """A master key's transforms and what came under it."""

    def __init__(self, suite: Suite, master: MasterKey) -> None:
        self.identity = _identity(suite, master)
        self.rtp, self.rtcp = transforms(suite, master)
        self.open = self.rtp.open
        self.shift = self.rtp.index_shift
        self.nonce_length = self.rtp.nonce_length
        self._mki_offset = self.rtp.tag_length if suite.value.startswith("AEAD") else 0
        self.mki = master.mki
        self.trailer = self.rtp.tag_length + len(master.mki)
        self.left = min(master.lifetime, LAST_SRTP_INDEX + 1)
        self.rtcp_left = min(master.lifetime, SRTCP_LIFETIME)
        self.streams: dict[bytes, _Stream] = {}
        self.rtcp_streams: dict[bytes, _Stream] = {}
        self.floors: dict[tuple[bool, bytes], int] = {}  # highest index of given up (RTCP, SSRC)

    def matches(self, packet: bytes) -> bool:
        """Whether a packet bears this key's MKI (RFC 3711 section 3.1; behind the tag in RFC 7714)."""
        start = len(packet) - self.trailer + self._mki_offset
        return packet[start : start + len(self.mki)] == self.mki

    def has_room(self, limit: int, rtcp: bool = False) -> bool:
        """Whether a context for a new SSRC can be made without forgetting what its replays are."""
        return len(self.rtcp_streams if rtcp else self.streams) < limit or len(self.floors) < FLOORS

    def add(self, ssrc: bytes, stream: _Stream, limit: int, rtcp: bool = False) -> bytes | None:
        """Keep a new context. Returns the SSRC whose context made room for it, if one had to."""
        streams = self.rtcp_streams if rtcp else self.streams
        gone = None
        if len(streams) >= limit:
            gone = min(streams, key=lambda each: streams[each].used)
            self.floors[rtcp, gone] = streams.pop(gone).highest_ever
        if (floor := self.floors.pop((rtcp, ssrc), None)) is not None:
            stream.earlier.append((0, floor))
        streams[ssrc] = stream
        return gone

    def retire(self) -> None:
        """Keep no more than what its replays are."""
        for rtcp, streams in ((False, self.streams), (True, self.rtcp_streams)):
            self.floors.update({(rtcp, ssrc): stream.highest_ever for ssrc, stream in streams.items()})
            streams.clear()


def _identity(suite: Suite, master: MasterKey) -> tuple[object, ...]:
    return (suite, master.key, master.salt, master.mki)


class SrtpReceiver:
    """Opens what the peer sends. What cannot be opened gives None and a drop in the trace: "too short", "not
    RTP", "unknown mki", "replayed", "too old", "not authentic", "key used up", "not encrypted".

    `keys`: oldest first, of `suite`. `window`: indices below the highest that may still come, 64 to 32,768.
    `limit`: SSRCs with a context under each key; the one that was silent for longest makes room, its replays stay
    refused. `unencrypted_rtcp`: take SRTCP without encryption too (UNENCRYPTED_SRTCP of RFC 4568 section 6.3.2).
    """

    def __init__(
        self,
        suite: Suite,
        keys: Iterable[MasterKey],
        *,
        window: int = 1024,
        limit: int = 16,
        unencrypted_rtcp: bool = False,
        trace: Trace = NO_TRACE,
    ) -> None:
        """Raises LocalError for a key that does not fit the suite or a window out of range."""
        if not SMALLEST_WINDOW <= window <= LARGEST_WINDOW:
            raise LocalError(f"a replay window of {window} packets", f"{SMALLEST_WINDOW} to {LARGEST_WINDOW}")
        self.suite = suite
        self._window = window
        self._limit = limit
        self._unencrypted_rtcp = unencrypted_rtcp
        self._trace = trace
        self._keys: list[_Key] = []
        self._retired: dict[tuple[object, ...], _Key] = {}
        self._active: dict[bytes, _Stream] = {}  # the context that served an SSRC last
        self._expected: dict[bytes, int] = {}
        self._anew = False
        self._count = 0
        for key in keys:
            self.add_key(key)

    # Keys

    def add_key(self, master_key: MasterKey, suite: Suite | None = None) -> None:
        """Accept another key besides those there are, as the newest; by default of the first suite. One that was
        there before goes on where it was, also when it was retired: its replays stay refused. Raises LocalError."""
        suite = suite or self.suite
        identity = _identity(suite, master_key)
        known = next((key for key in self._keys if key.identity == identity), None)
        if known is not None:
            self._keys.remove(known)
        self._keys.append(known or self._retired.pop(identity, None) or _Key(suite, master_key))
        if len(self._keys) > KEYS:
            self._forget(self._keys[:1])

    def retire_old(self) -> None:
        """Accept the newest key only."""
        self._forget(self._keys[:-1])

    def _forget(self, keys: list[_Key]) -> None:
        self._keys = [key for key in self._keys if key not in keys]
        for ssrc, stream in list(self._active.items()):
            if stream.key in keys:
                # What the counter was survives its key: the next one goes on with it (section 3.3.1).
                self._expect(ssrc, stream.highest)
                del self._active[ssrc]
        for key in keys:
            key.retire()
            self._retired[key.identity] = key
            if len(self._retired) > RETIRED:
                del self._retired[next(iter(self._retired))]

    def rollover_counter(self, ssrc: int) -> int | None:
        """Of the highest packet accepted from an SSRC; None when there was none."""
        stream = self._active.get(ssrc.to_bytes(4, "big"))
        return None if stream is None else stream.highest >> 16

    def begin_at(self, ssrc: int, rollover_counter: int) -> None:
        """What the peer said its rollover counter is (RFC 3830 section 6.1): tried first for a new SSRC."""
        self._expect(ssrc.to_bytes(4, "big"), rollover_counter << 16 | 0x8000)

    def _expect(self, ssrc: bytes, near: int) -> None:
        self._expected.pop(ssrc, None)
        self._expected[ssrc] = near
        if len(self._expected) > self._limit:
            del self._expected[next(iter(self._expected))]

    def allow_rollover_reset(self, allowed: bool = True) -> None:
        """Whether a source may set its rollover counter to zero under a key in use, as some peers do after a
        re-offer. Indices that were accepted before stay refused."""
        self._anew = allowed

    # RTP

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet of an SRTP packet, or None."""
        stream = self._active.get(packet[8:12])
        if stream is None or packet[0] != 0x80:
            return self._unprotect_otherwise(packet, None)
        key = stream.key
        end = len(packet) - key.trailer
        highest = stream.highest
        sequence = packet[2] << 8 | packet[3]
        ahead = (sequence - highest) & 0xFFFF
        index = highest + ahead if ahead < 0x8000 else estimate_index(highest, sequence)
        if (
            end < 12
            or (key.mki and not key.matches(packet))
            or ((index <= highest or stream.earlier) and stream.refusal(index))
            or key.left <= 0
            or index > LAST_SRTP_INDEX
        ):
            return self._unprotect_otherwise(packet, None)
        opened = key.open(
            packet,
            12,
            end,
            (stream.base ^ index << key.shift).to_bytes(key.nonce_length, "big"),
            (index >> 16).to_bytes(4, "big"),
        )
        if opened is None:
            return self._unprotect_otherwise(packet, stream)
        key.left -= 1
        self._count = stream.used = self._count + 1
        stream.seen[index & stream.mask] = index
        if index > highest:
            stream.highest = index
        elif index < stream.lowest:
            stream.lowest = index
        return opened

    def _unprotect_otherwise(self, packet: bytes, failed: _Stream | None) -> bytes | None:
        """All keys in turn, newest first, each with every index the packet may have; `failed` is the context
        whose best guess was tried already."""
        try:
            header = header_length(packet)
        except RemoteError:
            self._drop("not RTP" if len(packet) >= 12 else "too short", packet)
            return None
        ssrc, sequence = packet[8:12], packet[2] << 8 | packet[3]
        reason = "unknown mki"
        for key in reversed(self._keys):
            end = len(packet) - key.trailer
            if end < header:
                reason = "too short"
                continue
            if not key.matches(packet):
                continue
            stream = key.streams.get(ssrc)
            for index, refusal in self._candidates(key, ssrc, sequence):
                if refusal or key.left <= 0 or index > LAST_SRTP_INDEX:
                    reason = refusal or "key used up"
                    continue
                opened = None
                if (
                    stream is None
                    or stream is not failed
                    or index != estimate_index(stream.highest, sequence)
                ):
                    base = key.rtp.nonce_base(int.from_bytes(ssrc, "big"))
                    nonce = (base ^ index << key.shift).to_bytes(key.nonce_length, "big")
                    opened = key.open(packet, header, end, nonce, (index >> 16).to_bytes(4, "big"))
                if opened is not None:
                    self._accept(key, ssrc, index)
                    return opened
                reason = "not authentic"
        self._drop(reason, packet, int.from_bytes(ssrc, "big"), sequence)
        return None

    def _candidates(self, key: _Key, ssrc: bytes, sequence: int) -> Iterator[tuple[int, str]]:
        """Indices the packet may have under a key, likeliest first, each with why it is refused."""
        stream = key.streams.get(ssrc)
        if stream is not None:
            index = estimate_index(stream.highest, sequence)
            yield index, stream.refusal(index)
            if self._anew and stream.may_begin_anew_at(sequence):
                yield sequence, ""
            return
        floor = key.floors.get((False, ssrc), -1)
        for index in self._first_indices(ssrc, sequence, floor):
            if index <= floor:
                yield index, "replayed"
            else:
                yield index, "" if key.has_room(self._limit) else "too many sources"

    def _first_indices(self, ssrc: bytes, sequence: int, floor: int) -> list[int]:
        """For an SSRC without a context under a key. Its rollover counter goes on from where it was when the context
        was given up (`floor`), or from another key's, or what was announced, or is zero; or one, when everything
        before the first wrap was lost."""
        active = self._active.get(ssrc)
        near = self._expected.get(ssrc) if active is None else active.highest
        if floor >= 0:
            near = floor
        if near is not None:
            return list(dict.fromkeys((estimate_index(near, sequence), sequence)))
        return [sequence, sequence | 0x10000] if sequence < 0x8000 else [sequence]

    def _accept(self, key: _Key, ssrc: bytes, index: int) -> None:
        stream = key.streams.get(ssrc)
        if stream is None:
            stream = _Stream(key, key.rtp.nonce_base(int.from_bytes(ssrc, "big")), index, self._window)
            gone = key.add(ssrc, stream, self._limit)
            if gone is not None and (active := self._active.get(gone)) is not None and active.key is key:
                del self._active[gone]
        elif stream.highest - index >= stream.window:
            stream.begin_anew(index)
            self._trace.note("srtp", "rollover counter set back", ssrc=int.from_bytes(ssrc, "big"))
        else:
            stream.accept(index)
        key.left -= 1
        self._count = stream.used = self._count + 1
        active = self._active.get(ssrc)
        if active is None or self._keys.index(active.key) <= self._keys.index(key):
            self._active[ssrc] = stream

    def _drop(self, reason: str, packet: bytes, ssrc: int | None = None, sequence: int | None = None) -> None:
        self._trace.drop("srtp", reason, octets=len(packet), ssrc=ssrc, sequence=sequence)

    # RTCP

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The compound or reduced-size RTCP packet of an SRTCP packet, or None."""
        ssrc = packet[4:8]
        reason = "unknown mki"
        for key in reversed(self._keys):
            index_at = key.rtcp.rtcp_index_at(len(packet), len(key.mki))
            if len(packet) < SRTCP_HEADER + SRTCP_INDEX + key.rtcp.tag_length + len(key.mki):
                reason = "too short"
                continue
            mki_at = index_at + SRTCP_INDEX
            if packet[mki_at : mki_at + len(key.mki)] != key.mki:
                continue
            index = int.from_bytes(packet[index_at:mki_at], "big") & (SRTCP_LIFETIME - 1)
            refusal = self._refuse_rtcp(key, ssrc, index, bool(packet[index_at] & 0x80))
            if refusal:
                reason = refusal
                continue
            base = key.rtcp.nonce_base(int.from_bytes(ssrc, "big"))
            nonce = (base ^ index << key.rtcp.index_shift).to_bytes(key.rtcp.nonce_length, "big")
            opened = key.rtcp.open_rtcp(packet, index_at, nonce)
            if opened is not None:
                self._accept_rtcp(key, ssrc, index)
                return opened
            reason = "not authentic"
        self._trace.drop("srtcp", reason, octets=len(packet), ssrc=int.from_bytes(ssrc, "big"))
        return None

    def _refuse_rtcp(self, key: _Key, ssrc: bytes, index: int, encrypted: bool) -> str:
        if not (encrypted or self._unencrypted_rtcp):
            return "not encrypted"
        if key.rtcp_left <= 0:
            return "key used up"
        stream = key.rtcp_streams.get(ssrc)
        if stream is not None:
            return stream.refusal(index)
        if index <= key.floors.get((True, ssrc), -1):
            return "replayed"
        return "" if key.has_room(self._limit, rtcp=True) else "too many sources"

    def _accept_rtcp(self, key: _Key, ssrc: bytes, index: int) -> None:
        stream = key.rtcp_streams.get(ssrc)
        if stream is None:
            stream = _Stream(key, 0, index, RTCP_WINDOW)
            key.add(ssrc, stream, self._limit, rtcp=True)
        else:
            stream.accept(index)
        key.rtcp_left -= 1
        self._count = stream.used = self._count + 1
