"""Gaps and losses of streams that were made up: what is to be seen in them is known."""

from __future__ import annotations

import pytest

from segue.lab.measure.measures import Delivery, Sighting, deliveries, gap, is_media, is_report, lost
from segue.lab.measure.packets import UDP, Packet

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
