"""The packet path of one call: two of them, back to back, with agreements made by the real negotiation."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segue.base.address import Address
from segue.base.errors import RemoteError
from segue.base.frame import Frame
from segue.base.keying import MasterKey, SrtpKeys, Suite
from segue.base.secret import Secret
from segue.base.trace import MemoryTrace
from segue.call.agreement import LocalMedia
from segue.call.config import MediaConfig
from segue.call.media_session import OLD_KEYS_LIVE, SENDERS, WRAP_IS_NEAR, MediaIdentity, MediaSession
from segue.call.negotiation import Negotiation
from segue.protocols.demux import sort
from segue.protocols.rtcp.packets import ReceiverReport, SenderReport, parse_rtcp
from segue.protocols.rtp.packet import parse_rtp
from segue.protocols.srtp.context import SrtpReceiver
from segue.protocols.srtp.packet_index import estimate_index
from segue.protocols.srtp.transform import transforms
from segue.testing.entropy import SeededEntropy

STEP = 0.02
SUITE = Suite.AEAD_AES_128_GCM
ONE, TWO, THREE = (
    MasterKey(Secret(bytes([number]) * 16), Secret(bytes([number]) * 12)) for number in (1, 2, 3)
)


def arrives(end: MediaSession, octets: bytes, now: float) -> bool:
    """As a call gives it what came to its port."""
    return end.receive(octets, sort(octets), now)


class Pair:
    """Two ends that have agreed; `talk` carries sound from the first to the second."""

    def __init__(self, codec: str = "PCMA", sequence: int | None = None, **config: Any) -> None:
        self.now = 0.0
        self.traces = MemoryTrace(), MemoryTrace()
        self.negotiations = [
            Negotiation(MediaConfig(codecs=(codec,), keying="none", **config), None, SeededEntropy(f"n{end}"))
            for end in (0, 1)
        ]
        self.ends = [
            MediaSession(
                MediaIdentity.draw(SeededEntropy(f"m{end}"), sequence),
                SeededEntropy(f"s{end}"),
                0.0,
                trace=self.traces[end],
            )
            for end in (0, 1)
        ]
        self.phase = 0
        self.agree()

    def agree(self) -> None:
        first, second = self.negotiations
        offer = first.make_offer(LocalMedia(Address("192.0.2.1", 4000)), self.now)
        answer = second.receive_offer(offer, LocalMedia(Address("192.0.2.2", 4000)), self.now)
        self.ends[0].use(first.receive_answer(answer, self.now), self.now)
        assert second.agreement is not None
        self.ends[1].use(second.agreement, self.now)

    def encrypt(self, first: MasterKey = ONE, second: MasterKey = TWO) -> None:
        self.ends[0].install(SrtpKeys(SUITE, first, second), self.now)
        self.ends[1].install(SrtpKeys(SUITE, second, first), self.now)

    def packet(self, end: int = 0) -> bytes | None:
        rate = self.ends[end].rate
        times = (self.phase + np.arange(rate // 50)) / rate
        self.phase += rate // 50
        tone = (8000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16)
        return self.ends[end].send(Frame(tone, rate), self.now)

    def talk(self, count: int, lost: frozenset[int] = frozenset()) -> list[float]:
        """Levels that the second end played."""
        levels = []
        for number in range(count):
            packet = self.packet()
            if packet is not None and number not in lost:
                arrives(self.ends[1], packet, self.now)
            frame = self.ends[1].play(self.now)
            assert frame is not None and len(frame.samples) == self.ends[1].play_rate // 50
            levels.append(float(np.sqrt(np.mean(frame.samples.astype(np.float64) ** 2))))
            self.now += STEP
        return levels


@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
@pytest.mark.parametrize("secure", [False, True])
def test_what_one_says_the_other_hears(codec: str, secure: bool) -> None:
    pair = Pair(codec)
    if secure:
        pair.encrypt()
    levels = pair.talk(50)
    assert np.mean(levels[20:]) == pytest.approx(5657, rel=0.15)
    assert pair.ends[0].codec == codec


def test_before_anything_is_agreed_nothing_is_sent_or_played() -> None:
    session = MediaSession(MediaIdentity.draw(SeededEntropy(1)), SeededEntropy(2), 0.0)
    assert session.send(Frame(np.zeros(160, np.int16), 8000), 0.0) is None
    assert session.play(0.0) is None
    assert arrives(session, b"\x80\x00" + bytes(20), 0.0) is False
    assert session.transmits() == []
    with pytest.raises(RemoteError):
        session.press("1")


def test_a_sequence_wrap_is_not_heard_and_needs_no_new_key() -> None:
    pair = Pair(sequence=65500)
    pair.encrypt()
    levels = pair.talk(100)
    assert min(levels[10:]) > 5000
    assert not pair.traces[1].drops


@pytest.mark.parametrize(("first", "then"), [("PCMA", "opus"), ("opus", "PCMA"), ("G722", "opus")])
def test_reported_jitter_is_in_the_clock_of_the_codec_that_is_spoken(first: str, then: str) -> None:
    pair, other = Pair(first), Pair(then)
    pair.talk(50)
    for end, negotiation in zip(pair.ends, other.negotiations, strict=True):
        assert negotiation.agreement is not None
        end.use(negotiation.agreement, pair.now)
    pair.talk(300)
    assert pair.packet(1) is not None  # who never sent anything says no goodbye
    report = parse_rtcp(pair.ends[1].bye(pair.now)[-1])[0]
    assert isinstance(report, ReceiverReport | SenderReport)
    assert report.blocks[0].jitter < 4  # packets kept time exactly


def test_packets_of_sixty_milliseconds() -> None:
    pair = Pair(packet_time=60)
    sent = [pair.packet() for _ in range(9)]
    assert [packet is not None for packet in sent] == [False, False, True] * 3
    assert len(parse_rtp(sent[2] or b"").payload) == 480


def test_who_holds_is_not_heard_but_goes_on_sending() -> None:
    pair = Pair()
    pair.talk(30)
    pair.ends[0].holding = True
    assert max(pair.talk(30)[10:]) < 10
    assert pair.packet() is not None
    pair.ends[0].holding = False
    assert min(pair.talk(30)[10:]) > 5000


def test_a_pause_shows_in_time_but_not_in_numbers() -> None:
    pair = Pair()
    before = parse_rtp(pair.packet() or b"")
    pair.negotiations[1].hold(inactive=True)
    pair.agree()
    assert all(pair.packet() is None for _ in range(10))
    pair.negotiations[1].resume()
    pair.agree()
    after = parse_rtp(pair.packet() or b"")
    assert after.sequence == (before.sequence + 1) % 65536
    assert after.timestamp == (before.timestamp + 11 * 160) % (1 << 32)
    assert after.marker


def test_a_new_remote_key_is_accepted_beside_the_old_one_for_a_while() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(20)
    old = [pair.packet() or b"" for _ in range(2)]
    pair.ends[1].install(SrtpKeys(SUITE, TWO, THREE), pair.now)
    assert arrives(pair.ends[1], old[0], pair.now), "the first end has not changed yet"
    pair.ends[0].install(SrtpKeys(SUITE, THREE, TWO), pair.now)
    assert min(pair.talk(30)) > 5000
    assert arrives(pair.ends[1], old[1], pair.now), "late, of the old key"
    assert pair.ends[1].deadline() is not None
    pair.now += OLD_KEYS_LIVE
    pair.ends[1].expire(pair.now)
    forgotten = SrtpKeys(SUITE, ONE, TWO)
    pair.ends[0].install(forgotten, pair.now)
    assert not arrives(pair.ends[1], pair.packet() or b"", pair.now)


def test_keys_installed_twice_change_nothing() -> None:
    pair = Pair(sequence=65530)
    pair.encrypt()
    pair.talk(20)
    pair.encrypt()
    assert min(pair.talk(20)) > 5000
    assert not pair.traces[1].drops


def test_in_the_clear_a_source_is_believed_after_two_packets() -> None:
    pair = Pair()
    assert not arrives(pair.ends[1], pair.packet() or b"", 0.0)
    assert arrives(pair.ends[1], pair.packet() or b"", 0.02)


def test_replays_and_forgeries_are_dropped_with_a_reason_and_are_no_sign_of_life() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(10)
    heard_at = pair.ends[1].heard_at
    packet = pair.packet() or b""
    assert arrives(pair.ends[1], packet, pair.now)
    heard_at = pair.ends[1].heard_at
    pair.now += 1
    for octets in (packet, packet[:-1] + bytes([packet[-1] ^ 1]), packet[:11], b"", b"\x00" * 30):
        assert not arrives(pair.ends[1], octets, pair.now)
    assert pair.ends[1].heard_at == heard_at
    assert sum(pair.traces[1].drops.values()) == 5


def test_sources_are_bounded() -> None:
    pair = Pair()
    real = pair.packet() or b""
    for number in range(500):
        arrives(pair.ends[1], real[:8] + number.to_bytes(4, "big") + real[12:], 0.0)
    pair.talk(5)
    assert min(pair.talk(30)[10:]) > 5000
    assert len(pair.ends[1]._sources) <= 4


def test_reports_cross_and_tell_the_round_trip() -> None:
    pair = Pair()
    pair.encrypt()
    for _ in range(1500):
        pair.talk(1)
        back = pair.packet(1)
        arrives(pair.ends[0], back or b"", pair.now)
        for here, there in ((0, 1), (1, 0)):
            due = pair.ends[here].deadline()
            if due is not None and due <= pair.now:
                pair.ends[here].expire(pair.now)
            for octets in pair.ends[here].transmits():
                assert arrives(pair.ends[there], octets, pair.now) is False, "proves nothing about media"
    assert pair.ends[0].round_trip is not None and pair.ends[0].round_trip < 0.05
    for octets in pair.ends[0].bye(pair.now):
        arrives(pair.ends[1], octets, pair.now)
    assert pair.ends[1].peer_left


def test_digits_take_the_place_of_sound() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(10)
    pair.ends[0].press("7*")
    pair.talk(60)
    assert pair.ends[1].digits() == "7*"
    assert pair.ends[1].digits() == ""
    assert min(pair.talk(20)[10:]) > 5000, "sound again"


def test_digits_survive_loss() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(10)
    pair.ends[0].press("12")
    pair.talk(60, lost=frozenset(range(0, 60, 3)))
    assert pair.ends[1].digits() == "12"


def test_a_peer_without_telephone_events_takes_no_digits() -> None:
    pair = Pair(telephone_events=False)
    with pytest.raises(RemoteError):
        pair.ends[0].press("1")


def test_frames_of_another_rate_are_resampled() -> None:
    pair = Pair("G722")
    for _ in range(30):
        tone = (8000 * np.sin(2 * np.pi * 500 * (pair.phase + np.arange(960)) / 48000)).astype(np.int16)
        pair.phase += 960
        packet = pair.ends[0].send(Frame(tone, 48000), pair.now)
        assert packet is not None
        arrives(pair.ends[1], packet, pair.now)
        frame = pair.ends[1].play(pair.now)
        pair.now += STEP
    assert frame is not None and np.std(frame.samples.astype(float)) > 4000


# A long call. During a call no garbage is collected but once a minute (`phone.voice`).


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def garbage() -> list[object]:
    """What of ours only a collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = [each for each in gc.garbage if str(getattr(each, "__module__", "")).startswith("segue.")]
    gc.garbage.clear()
    return found


def live(pair: Pair, seconds: int) -> None:
    """Both talk for a while each second, and send the reports that are due."""
    for _ in range(seconds):
        for _ in range(3):
            for end in (0, 1):
                packet = pair.packet(end)
                assert packet is not None
                arrives(pair.ends[1 - end], packet, pair.now)
                pair.ends[1 - end].play(pair.now)
            pair.now += 0.02
        pair.now += 0.94
        for end in (0, 1):
            pair.ends[end].expire(pair.now)
            for octets in pair.ends[end].transmits():
                arrives(pair.ends[1 - end], octets, pair.now)


@pytest.mark.usefixtures("no_collector")
def test_hours_of_reports_leave_nothing_behind() -> None:
    pair = Pair()
    pair.encrypt()
    live(pair, 60)
    gc.collect()
    tracemalloc.start()
    try:
        live(pair, 600)
        before = tracemalloc.get_traced_memory()[0]
        live(pair, 600)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert pair.ends[0].round_trip is not None  # reports came through
    assert grown < 16_384
    assert not garbage()


@pytest.mark.usefixtures("no_collector")
def test_a_minute_of_every_tick_leaves_no_garbage() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(3000, lost=frozenset(range(100, 3000, 37)))
    assert not garbage()


# Forks and re-offers: keys of several suites.

STRONG = Suite.AEAD_AES_256_GCM
FOUR, FIVE = (MasterKey(Secret(bytes([number]) * 32), Secret(bytes([number]) * 12)) for number in (4, 5))


def reports(session: MediaSession, now: float) -> list[bytes]:
    """What leaves as SRTCP when a report is due."""
    session.expire(now)
    return session.transmits()


def test_a_fork_that_takes_another_suite_makes_no_srtcp_index_come_twice_under_one_key() -> None:
    """One fork's early answer, the other's, then the first one answers for good: our key for a suite is the same for
    all of them."""
    pair = Pair()
    session = pair.ends[0]
    first, other = SrtpKeys(SUITE, ONE, TWO), SrtpKeys(STRONG, FOUR, FIVE)
    indices: dict[Suite, list[int]] = {SUITE: [], STRONG: []}
    for turn in range(6):
        keys = (first, other)[turn % 2]
        session.install(keys, pair.now)
        pair.packet()
        pair.now += 20
        for octets in reports(session, pair.now):
            indices[keys.suite].append(int.from_bytes(octets[-4:], "big") & 0x7FFFFFFF)
    for used in indices.values():
        assert len(used) >= 3 and used == sorted(set(used))


def test_a_fork_that_takes_another_suite_makes_no_packet_welcome_twice() -> None:
    pair = Pair()
    pair.encrypt()
    heard = pair.packet() or b""
    assert arrives(pair.ends[1], heard, pair.now)
    pair.ends[1].install(SrtpKeys(STRONG, FIVE, FOUR), pair.now)
    pair.ends[1].install(SrtpKeys(SUITE, TWO, ONE), pair.now)
    assert not arrives(pair.ends[1], heard, pair.now)
    assert [kind for kind, _ in pair.traces[1].drops] == ["srtp"]
    assert arrives(pair.ends[1], pair.packet() or b"", pair.now)


def test_packets_of_the_old_suite_are_accepted_for_a_while() -> None:
    pair = Pair()
    pair.encrypt()
    pair.talk(20)
    late = [pair.packet() or b"" for _ in range(2)]
    pair.ends[0].install(SrtpKeys(STRONG, FOUR, FIVE), pair.now)
    pair.ends[1].install(SrtpKeys(STRONG, FIVE, FOUR), pair.now)
    assert arrives(pair.ends[1], late[0], pair.now)
    assert min(pair.talk(20)) > 5000
    pair.now += OLD_KEYS_LIVE
    pair.ends[1].expire(pair.now)
    assert not arrives(pair.ends[1], late[1], pair.now)
    assert min(pair.talk(20)[10:]) > 5000


def test_a_remote_key_that_comes_back_is_heard_beyond_the_life_of_old_keys() -> None:
    """The peer is put on to a music server and taken back."""
    pair = Pair()
    pair.encrypt()
    pair.talk(20)
    pair.ends[1].install(SrtpKeys(SUITE, TWO, THREE), pair.now)
    pair.now += 5
    pair.ends[1].install(SrtpKeys(SUITE, TWO, ONE), pair.now)
    pair.now += OLD_KEYS_LIVE
    pair.ends[1].expire(pair.now)
    assert min(pair.talk(30)[10:]) > 5000


class StrictPeer:
    """Makes a new context with a rollover counter of zero for each key, has no other, and guesses indices by the
    letter of RFC 3711 appendix A."""

    def __init__(self, key: MasterKey) -> None:
        self._rtp = transforms(SUITE, key)[0]
        self._highest: int | None = None

    def hears(self, packet: bytes) -> bool:
        sequence = int.from_bytes(packet[2:4], "big")
        index = sequence if self._highest is None else estimate_index(self._highest, sequence)
        nonce = (self._rtp.nonce_base(int.from_bytes(packet[8:12], "big")) ^ index).to_bytes(12, "big")
        opened = self._rtp.open(packet, 12, len(packet) - 16, nonce, (index >> 16).to_bytes(4, "big"))
        if opened is not None:
            self._highest = max(index, self._highest or 0)
        return opened is not None


@pytest.mark.parametrize("before", range(2, WRAP_IS_NEAR + 12, 7))
def test_a_new_key_shortly_before_the_wrap_is_used_after_it(before: int) -> None:
    """A strict peer that misses what is left before the wrap would never guess that our counter is one."""
    pair = Pair(sequence=65536 - before)
    pair.encrypt()
    peer, old = StrictPeer(ONE), SrtpReceiver(SUITE, [ONE])
    assert peer.hears(pair.packet() or b"")
    pair.ends[0].install(SrtpKeys(SUITE, THREE, TWO), pair.now)
    new = StrictPeer(THREE)
    lost = [pair.packet() or b"" for _ in range(before - 1)]
    if before - 1 <= WRAP_IS_NEAR:
        assert all(old.unprotect(packet) for packet in lost), "who still has the old key hears all"
    else:
        assert all(new.hears(packet) for packet in lost)
    assert all(new.hears(pair.packet() or b"") for _ in range(10)), "the counter is zero"


def test_a_pause_shortly_before_the_wrap_does_not_keep_the_old_key() -> None:
    pair = Pair(sequence=65500)
    pair.encrypt()
    pair.packet()
    pair.ends[0].install(SrtpKeys(SUITE, THREE, TWO), pair.now)
    pair.negotiations[1].hold(inactive=True)
    pair.agree()
    assert pair.packet() is None
    peer = SrtpReceiver(SUITE, [THREE])
    assert [peer.unprotect_rtcp(octets) is not None for octets in reports(pair.ends[0], 60.0)] == [True]


def test_keys_that_are_taken_back_before_the_wrap_were_never_there() -> None:
    pair = Pair(sequence=65530)
    pair.encrypt()
    pair.talk(1)
    pair.ends[0].install(SrtpKeys(SUITE, THREE, TWO), pair.now)
    pair.ends[0].install(SrtpKeys(SUITE, ONE, TWO), pair.now)
    assert min(pair.talk(50)[10:]) > 5000
    assert not pair.traces[1].drops


def test_a_call_with_hundreds_of_new_keys_is_heard_and_keeps_few() -> None:
    pair = Pair()
    for number in range(600):
        key = MasterKey(Secret(number.to_bytes(16, "big")), Secret(bytes(12)))
        pair.encrypt(key, TWO)
        assert arrives(pair.ends[1], pair.packet() or b"", pair.now)
    assert len(pair.ends[0]._senders) <= SENDERS
