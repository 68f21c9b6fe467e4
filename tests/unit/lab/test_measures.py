"""Gaps and losses of streams that were made up: what is to be seen in them is known."""

from __future__ import annotations

import pytest

from segue.lab.measure.catching_up import catching_up
from segue.lab.measure.measures import (
    Delivery,
    Sighting,
    deliveries,
    duplicates,
    extra_octets,
    gap,
    is_check,
    is_media,
    is_report,
    lost,
    recovered,
)
from segue.lab.measure.packets import UDP, Packet
from segue.media.coded_signal import BLOCK, Heard
from segue.protocols.stun.binding import binding_request

PERIOD = 0.02


def stream(seconds: float, missing: set[int] | None = None, unsent: set[int] | None = None) -> list[Delivery]:
    """Packets every 20 ms from 0 on, 10 ms on their way. `missing` do not arrive, `unsent` never got onto a wire."""
    made = []
    for number in range(round(seconds / PERIOD)):
        if unsent and number in unsent:
            continue
        at = number * PERIOD
        arrives = None if missing and number in missing else at + 0.01
        made.append(Delivery(number, at, "mn wlan0", arrives, "" if arrives is None else "cn wlan0"))
    return made


def test_a_whole_stream_has_no_gap_and_no_loss() -> None:
    whole = stream(30)
    assert gap(whole, 9.5, 15.0) == pytest.approx(0.0, abs=1e-6)
    assert lost(whole, 9.5, 15.0) == lost(whole, float("-inf"), float("inf")) == 0


def test_ten_packets_that_do_not_arrive() -> None:
    broken = stream(30, missing=set(range(500, 510)))
    assert gap(broken, 9.5, 15.0) == pytest.approx(0.2)
    assert lost(broken, 9.5, 15.0) == 10


def test_packets_that_never_got_onto_a_wire_are_lost() -> None:
    broken = stream(30, missing={505}, unsent=set(range(506, 511)))
    assert lost(broken, 9.5, 15.0) == lost(broken, float("-inf"), float("inf")) == 6


def test_a_stream_that_never_came_back() -> None:
    """Its next move is no better: nothing arrives there at all."""
    dead = stream(40, missing=set(range(500, 2000)))
    assert gap(dead, 9.5, 15.0) == pytest.approx(4.97, abs=0.05)
    assert gap(dead, 19.5, 25.0) > 5.0
    assert lost(dead, 9.5, 15.0) == pytest.approx(250, abs=2)
    assert lost(dead, 19.5, 25.0) == pytest.approx(275, abs=2)
    assert lost(dead, float("-inf"), float("inf")) == pytest.approx(1475, abs=2)


def test_what_left_late_and_came_is_not_lost() -> None:
    """Ten packets that were kept in an outage leave behind the window's end, which is 0.5 s before the stream's."""
    whole = stream(30, unsent=set(range(1460, 1470)))
    late = [Delivery(n, 29.7 + 0.01 * (n - 1460), "mn wwan0", 29.9, "cn wlan0") for n in range(1460, 1470)]
    assert lost(whole, 9.5, 30.0) == 10
    assert lost(whole + late, 9.5, 30.0) == 0


def test_what_was_sent_as_the_call_ended_may_be_on_its_way() -> None:
    ending = stream(30, missing=set(range(1495, 1500)))
    assert lost(ending, float("-inf"), float("inf")) == 0


def test_what_an_attacker_sent_is_no_media_and_a_copy_counts_once() -> None:
    def packet(number: int, filling: bytes) -> bytes:
        return b"\x80\x08" + number.to_bytes(2, "big") + bytes(4) + b"\0\0\0\x09" + filling

    sent = [Sighting(n * PERIOD, "mn wlan0", packet(n, b"genuine")) for n in range(100)]
    received = [s._replace(time=s.time + 0.01, place="cn wlan0") for s in sent if s.time != 50 * PERIOD]
    received += [Sighting(1.001, "cn wlan0", packet(50, b"forged!")), received[7]._replace(time=1.5)]
    found = deliveries(sent, received)
    assert len(found) == 100
    assert [d.sequence for d in found if d.received_at is None] == [50]
    assert found[7].received_at == pytest.approx(0.15)


def test_a_query_of_the_dns_may_look_like_rtp_and_rtcp() -> None:
    """One identifier in 32 does; taken for a report, it would be one in the clear."""
    report, media = b"\x80\xc8" + bytes(26), b"\x80\x08" + bytes(26)
    for ports in ((40000, 53), (53, 40000)):
        assert not is_report(datagram(ports, report)) and not is_media(datagram(ports, media))
    between_phones = (40000, 40002)
    assert is_report(datagram(between_phones, report)) and is_media(datagram(between_phones, media))


def datagram(ports: tuple[int, int], octets: bytes) -> Packet:
    return Packet("2001:db8:1::10", ports[0], "2001:db8:4::10", ports[1], UDP, octets)


CLOCK = 8000  # Hz


def late_stream(resent: set[int], back: float) -> list[Delivery]:
    """As `stream`, where some packets arrive only from `back` on, as fast as they were sent."""
    made = []
    for delivery in stream(20):
        at = delivery.received_at
        assert at is not None
        if delivery.sequence in resent:
            at = max(at, back + (delivery.sequence - min(resent)) * PERIOD / 3)
        made.append(delivery._replace(received_at=at, timestamp=5 + delivery.sequence * 160))
    return made


def test_packets_that_were_held_back_and_came_are_recovered_and_not_lost() -> None:
    healed = late_stream(set(range(500, 525)), back=10.6)
    assert lost(healed, 9.5, 15.0) == 0
    found = recovered(healed, 9.5, 15.5, CLOCK)
    assert 23 <= found <= 25  # the last ones were hardly late
    assert recovered(late_stream(set(), 0.0), 9.5, 15.5, CLOCK) == 0


def test_a_longer_path_recovers_nothing() -> None:
    longer = [
        d._replace(received_at=(d.received_at or 0) + (0.09 if d.sequence >= 500 else 0.0))
        for d in late_stream(set(), 0.0)
    ]
    assert recovered(longer, 9.5, 15.5, CLOCK, step=0.09) == 0


def test_octets_that_were_sent_again_are_counted_where_the_copy_left() -> None:
    packet = b"\x80\x08" + bytes(170)
    first, copy = Sighting(1.0, "mn wlan0", packet), Sighting(1.0001, "mn wwan0", packet)
    assert extra_octets([copy, first], 0.5, 2.0) == len(packet)
    assert extra_octets([first, first._replace(octets=bytes(172))], 0.5, 2.0) == 0


def test_a_copy_that_its_sender_sent_is_a_duplicate_and_a_replay_is_none() -> None:
    packet, other = b"\x80\x08" + bytes(170), b"\x80\x08" + bytes(172)
    sent = [
        Sighting(1.0, "mn wlan0", packet),
        Sighting(1.0, "mn wwan0", packet),
        Sighting(1.02, "mn wlan0", other),
    ]
    received = [s._replace(time=s.time + 0.02, place="cn wlan0") for s in sent]
    replays = [received[0]._replace(time=1.5), received[2]._replace(time=1.6)]
    assert duplicates(sent, received + replays, 0.5, 3.0) == 1
    assert duplicates(sent[1:], received + replays, 0.5, 3.0) == 0


def test_only_what_goes_between_phones_is_a_check() -> None:
    request = binding_request(b"twelve bytes").write()
    assert is_check(datagram((40000, 40002), request))
    assert not is_check(datagram((40000, 3478), request)) and not is_check(
        datagram((40000, 5060), request[:8])
    )


def heard_with_a_wait(wait: float, speed: float, until: float = 30.0) -> list[tuple[float, Heard]]:
    """The coded signal as a listener heard it, whose playout waited at 10 s and then played faster until it had made
    up for it; Unix time begins at 1000."""
    made = []
    at = block = 0.0
    while at < until:
        if at >= 10.0 and wait:
            at, behind, wait = at + wait, wait, 0.0
        elif at < 10.0:
            behind = 0.0
        pace = speed if behind > 0 else 1.0
        made.append((1000 + at, Heard(int(block), at, 0.02)))
        behind -= BLOCK * (pace - 1) / pace
        at += BLOCK / pace
        block += 1
    return made


def test_a_wait_is_inserted_silence_and_what_follows_a_catching_up() -> None:
    found = catching_up(heard_with_a_wait(0.46, 1.15), 1010.0, 1010.46, 1030.0)
    assert found is not None
    assert found.inserted_silence_ms == pytest.approx(460, abs=10)
    assert found.catch_up_speed == pytest.approx(1.15, abs=0.01)
    assert found.normal_after_ms == pytest.approx(1000 * 0.46 / 0.15 * 1, rel=0.1)


def test_without_a_wait_there_is_nothing_to_catch_up() -> None:
    found = catching_up(heard_with_a_wait(0.0, 1.0), 1010.0, 1010.0, 1030.0)
    assert found is not None and (found.inserted_silence_ms, found.catch_up_speed) == (0.0, None)
    assert found.normal_after_ms is not None and found.normal_after_ms <= 1000 * BLOCK


def test_a_delay_that_stays_is_never_normal_again() -> None:
    found = catching_up(heard_with_a_wait(0.5, 1.0), 1010.0, 1010.5, 1030.0)
    assert found is not None and found.normal_after_ms is None and found.catch_up_speed is None


def test_too_little_to_say_anything_of() -> None:
    assert catching_up([], 1010.0, 1010.0, 1030.0) is None
