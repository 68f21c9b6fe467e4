"""The media side of one call: offers, keys, ports and paths together, between two ends without signalling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segue.base.address import Address, LocalPort, Path
from segue.base.entropy import Entropy
from segue.base.errors import LocalError, RemoteError
from segue.base.frame import Frame
from segue.base.keying import Suite
from segue.call.call_media import PORTS, CallMedia
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.call.path import LINGER
from segue.testing.entropy import SeededEntropy


class Desk:
    """Ports as numbers; `hosts` by family. With `full` none can be opened."""

    def __init__(self) -> None:
        self.open_ports: list[LocalPort] = []
        self.there: dict[int, tuple[str, str]] = {}
        self.full = False
        self._next = 4000

    def open(self, interface: str, host: str) -> LocalPort:
        if self.full:
            raise LocalError("no port", "close some")
        self._next += 2
        self.open_ports.append(LocalPort(interface, Address(host, self._next)))
        return self.open_ports[-1]

    def close(self, port: LocalPort) -> None:
        self.open_ports.remove(port)

    def hosts(self) -> list[tuple[str, str]]:
        return list(self.there.values())

    def stun_servers(self) -> tuple[Address, ...]:
        return ()


class End:
    def __init__(self, name: str, host: str, placing: bool, **config: Any) -> None:
        entropy: Entropy = SeededEntropy(name)
        self.desk = Desk()
        settings = MediaConfig(**{"codecs": ("PCMA",), "ice": False, **config})
        keying = Keying(settings, entropy)
        agreement = keying.to_offer(True) if placing else keying.to_answer(True)
        port = self.desk.open("eth0", host)
        self.media = CallMedia(settings, agreement, self.desk, port, entropy, 0.0)


def pair(**config: Any) -> tuple[End, End]:
    ends = End("a", "192.0.2.1", True, **config), End("b", "192.0.2.2", False, **config)
    exchange(*ends)
    return ends


def exchange(offering: End, answering: End, now: float = 0.0) -> None:
    offering.media.take_answer(answering.media.answer(offering.media.offer(now), now), now)


def aims_at(end: End) -> Address | None:
    path = end.media.paths.active
    return path.remote if path else None


def test_each_sends_where_the_other_listens() -> None:
    a, b = pair()
    assert aims_at(a) == b.media.paths.sending.address
    assert aims_at(b) == a.media.paths.sending.address
    assert a.media.suite == b.media.suite == "AEAD_AES_256_GCM"
    assert a.media.verification.method == "sdes"


def test_in_the_clear_there_is_no_suite_and_that_is_said() -> None:
    a, _ = pair(keying="none")
    assert a.media.suite == "" and "anyone" in a.media.verification.detail


def test_a_move_listens_first_and_sends_when_told() -> None:
    a, b = pair()
    keys = a.media.session.exchanged_keys
    old = a.media.paths.sending
    new = a.media.listen_on("wlan0", "198.51.100.1", 1.0)
    assert a.media.paths.sending == old and a.media.paths.ports == (old, new)
    exchange(a, b, 1.0)
    assert aims_at(b) == new.address and a.media.paths.sending == old
    a.media.send_from(new, 1.0)
    a.media.paths.received(new, 2.0)
    a.media.release(2.0 + LINGER)
    assert a.desk.open_ports == [new]
    assert a.media.session.exchanged_keys == keys


def test_a_failed_move_leaves_nothing_open() -> None:
    a, b = pair()
    old = a.media.paths.sending
    a.media.listen_on("wlan0", "198.51.100.1", 1.0)
    a.media.offer(1.0)
    a.media.stay_on(old, 1.0)
    assert a.desk.open_ports == [old] and a.media.paths.sending == old
    exchange(a, b, 2.0)
    assert aims_at(b) == old.address


def test_a_port_that_cannot_be_opened_changes_nothing() -> None:
    a, b = pair()
    old = a.media.paths.sending
    a.desk.full = True
    with pytest.raises(LocalError):
        a.media.listen_on("wlan0", "198.51.100.1", 1.0)
    assert a.media.paths.ports == (old,)
    exchange(a, b, 1.0)
    assert aims_at(b) == old.address


def test_moves_that_nothing_ever_confirms_do_not_pile_up_ports() -> None:
    a, _ = pair()
    for number in range(30):
        a.media.send_from(a.media.listen_on(f"wlan{number}", f"198.51.100.{number + 1}", 1.0), 1.0)
        assert len(a.desk.open_ports) <= PORTS
    assert a.media.paths.sending.interface == "wlan29"
    assert sorted(a.desk.open_ports) == sorted(a.media.paths.ports)


def test_back_to_an_address_that_is_still_open_takes_the_same_port() -> None:
    a, b = pair()
    old = a.media.paths.sending
    a.media.send_from(a.media.listen_on("wlan0", "198.51.100.1", 1.0), 1.0)
    assert a.media.listen_on("eth0", "192.0.2.1", 1.0) == old
    a.media.send_from(old, 1.0)
    exchange(a, b, 1.0)
    a.media.paths.received(old, 2.0)
    a.media.release(2.0 + LINGER)
    assert a.desk.open_ports == [old]


def test_a_peer_that_comes_over_ipv6_is_answered_at_ipv6() -> None:
    a, b = pair()
    b.desk.there[6] = ("eth0", "2001:db8::2")
    a.media.send_from(a.media.listen_on("wwan0", "2001:db8::1", 1.0), 1.0)
    exchange(a, b, 1.0)
    assert b.media.paths.sending.address.host == "2001:db8::2"
    assert aims_at(b) == a.media.paths.sending.address and aims_at(a) == b.media.paths.sending.address


def test_an_offer_that_cannot_be_accepted_changes_nothing() -> None:
    a, b = pair()
    target = aims_at(b)
    offer = a.media.offer(1.0)
    clear = offer.replace(b"RTP/SAVP", b"RTP/AVP").replace(b"a=crypto", b"a=x-crypto")
    for body in (clear, b"", b"v=0\r\n", offer.replace(b"PCMA", b"XXXX").replace(b"SAVP 8", b"SAVP 77")):
        with pytest.raises(RemoteError):
            b.media.answer(body, 1.0)
    assert aims_at(b) == target
    a.media.rollback()
    exchange(b, a, 2.0)
    assert aims_at(b) == target


def test_an_offer_from_another_family_that_cannot_be_accepted_changes_no_path() -> None:
    a, b = pair()
    b.desk.there[6] = ("eth0", "2001:db8::2")
    before = b.media.paths.active, b.media.paths.sending, b.media.paths.ports, list(b.desk.open_ports)
    a.media.send_from(a.media.listen_on("wwan0", "2001:db8::1", 1.0), 1.0)
    offer = a.media.offer(1.0)
    for body in (
        offer.replace(b"RTP/SAVP", b"RTP/XAVP"),
        offer.replace(b"PCMA", b"XXXX").replace(b"SAVP 8", b"SAVP 77"),
    ):
        with pytest.raises(RemoteError):
            b.media.answer(body, 1.0)
        after = b.media.paths.active, b.media.paths.sending, b.media.paths.ports, list(b.desk.open_ports)
        assert after == before
    b.media.offer(2.0)
    assert b.media.offer(2.0).count(b"IN IP4 192.0.2.2"), "our own next offer names the port that we use"


def test_an_answer_that_cannot_be_accepted_takes_the_offer_back() -> None:
    a, b = pair()
    keys = a.media.session.exchanged_keys
    a.media.offer(1.0)
    with pytest.raises(RemoteError):
        a.media.take_answer(b"v=0\r\n", 1.0)
    assert not a.media.offer_is_open and a.media.session.exchanged_keys == keys
    exchange(a, b, 2.0)


def test_hold_lasts_over_a_move() -> None:
    a, b = pair()
    a.media.hold()
    exchange(a, b, 1.0)
    a.media.send_from(a.media.listen_on("wlan0", "198.51.100.1", 1.0), 1.0)
    exchange(a, b, 2.0)
    assert a.media.agreement is not None and b.media.agreement is not None
    assert (a.media.agreement.held_by, b.media.agreement.held_by) == ("us", "peer")
    a.media.resume()
    exchange(a, b, 3.0)
    assert b.media.agreement.held_by == ""


def test_a_new_key_on_a_move_is_used_when_the_peer_has_it() -> None:
    a, b = pair(extensions=())
    before = a.media.session.exchanged_keys
    a.media.send_from(a.media.listen_on("wlan0", "198.51.100.1", 1.0), 1.0)
    offer = a.media.offer(1.0)
    assert a.media.session.exchanged_keys == before, "until the peer has answered"
    a.media.take_answer(b.media.answer(offer, 1.0), 1.0)
    after = a.media.session.exchanged_keys
    assert before is not None and after is not None
    assert after[0] != before[0] and after[1] == before[1]


def test_forks_that_answer_in_turns_use_each_key_on_from_where_it_was() -> None:
    """One fork rings with sound, the other too, in another suite; then the first one is answered."""
    a = End("a", "192.0.2.1", True)
    forks = [
        End(name, "192.0.2.2", False, suites=(suite,))
        for name, suite in (("b", Suite.AEAD_AES_256_GCM), ("c", Suite.AES_CM_128_HMAC_SHA1_80))
    ]
    offer = a.media.offer(0.0)
    answers = [fork.media.answer(offer, 0.0) for fork in forks]
    heard: list[list[bytes]] = [[], []]
    for turn in (0, 1, 0, 1, 0):
        a.media.take_answer(answers[turn], float(turn))
        for _ in range(10):
            packet = a.media.session.send(Frame(np.zeros(160, np.int16), 8000), 0.0)
            port = forks[turn].media.paths.sending
            assert packet and forks[turn].media.receive(packet, Path(*port, port.address), 0.0)
            heard[turn].append(packet)
    assert all(len({packet[2:4] for packet in packets}) == len(packets) for packets in heard)


def test_closing_closes_every_port() -> None:
    a, _ = pair()
    a.media.listen_on("wlan0", "198.51.100.1", 1.0)
    a.media.close()
    assert a.desk.open_ports == []


def spoken(end: End, count: int, now: float) -> list[bytes]:
    """`count` packets of its sound, from `now` on."""
    sound = Frame(np.zeros(160, np.int16), 8000)
    made = [end.media.session.send(sound, now + 0.02 * number) for number in range(count)]
    return [packet for packet in made if packet is not None]


def way_back(end: End, other: End) -> Path:
    """By which what `other` sends comes to `end`."""
    there = other.media.paths.sending
    return Path(*end.media.paths.sending, there.address)


def test_what_could_not_leave_and_what_was_missed_leave_when_there_is_a_way() -> None:
    """The mover tells by its media's way; a peer that does not know yet where it is waits until it does."""
    a, b = pair()
    for packet in spoken(b, 10, 1.0):
        a.media.receive(packet, way_back(a, b), 1.2)
    missed = spoken(b, 10, 1.2)
    a.media.link_lost(1.2)
    assert spoken(a, 5, 1.2) == []
    port = a.media.listen_on("wwan0", "198.51.100.7", 1.2)
    a.media.send_from(port, 1.4)
    a.media.path_back(1.4)
    assert a.media.has_news(), "the request to go on"
    assert len(a.media.late(1.4)) == 3 and all(path.port == port for path, _ in a.media.late(1.5))
    for octets in a.media.session.transmits():
        b.media.receive(octets, way_back(b, a), 1.42)
    assert b.media.late(1.42) == [], "that would go to where nobody is any more"
    exchange(a, b, 1.5)
    late = b.media.late(1.5) + b.media.late(1.56) + b.media.late(1.62) + b.media.late(1.68)
    assert [octets for _, octets in late] == missed
    assert {path.remote for path, _ in late} == {port.address}


def test_who_is_known_to_be_there_gets_at_once_what_it_missed() -> None:
    """The same way is back, or it was believed before the request came."""
    a, b = pair()
    for packet in spoken(b, 2, 1.0):
        a.media.receive(packet, way_back(a, b), 1.1)
    (missed,) = spoken(b, 1, 1.1)
    a.media.path_back(1.2)
    for octets in a.media.session.transmits():
        b.media.receive(octets, way_back(b, a), 1.22)
    assert [octets for _, octets in b.media.late(1.22)] == [missed]
