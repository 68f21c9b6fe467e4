"""The media side of a call whose ends reach one another by a relay only: two ends, and a wire that carries nothing
else. Real relays: tests/interop/test_coturn_calls.py."""

from __future__ import annotations

from typing import Any

from segue.base.address import Address, LocalPort, Path
from segue.base.machine import earliest
from segue.call.call_media import CallMedia
from segue.call.config import MediaConfig
from segue.call.keying import Keying
from segue.testing.entropy import SeededEntropy

RELAYED, SECOND = (
    LocalPort("wlan0", Address("203.0.113.1", 50000)),
    LocalPort("wwan0", Address("203.0.113.1", 50001)),
)


class End:
    """One end, whose network is a single address; `relayed`: what a relay has lent it."""

    def __init__(self, name: str, host: str, placing: bool) -> None:
        self.place = ("wlan0", host)
        self.relayed: set[LocalPort] = set()
        entropy, config = SeededEntropy(name), MediaConfig(codecs=("PCMA",))
        keying = Keying(config, entropy)
        agreement = keying.to_offer(True) if placing else keying.to_answer(True)
        self._next = 4000
        port = self.open(*self.place)
        self.media = CallMedia(config, agreement, self, port, entropy, 0.0)

    def open(self, interface: str, host: str) -> LocalPort:
        self._next += 2
        return LocalPort(interface, Address(host, self._next))

    def close(self, port: LocalPort) -> None: ...

    def hosts(self) -> list[tuple[str, str]]:
        return [self.place]

    def stun_servers(self) -> tuple[Address, ...]:
        return ()


class Wire:
    """Carries what a relay would: between its addresses of `near` and the ports of `far`."""

    def __init__(self, near: End, far: End) -> None:
        self.near, self.far, self.now = near, far, 0.0

    def run(self, until: float) -> None:
        while True:
            while self._carry():
                pass
            ends = (self.near.media, self.far.media)
            due = earliest(*(media.deadline() for media in ends))
            if due is None or due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for media in ends:
                media.expire(self.now)

    def _carry(self) -> bool:
        sent = False
        for path, octets in self.near.media.transmits():
            sent = True
            if path.port in self.near.relayed:
                for port in self.far.media.paths.ports:
                    if port.address == path.remote:
                        self.far.media.receive(octets, Path(*port, path.local), self.now)
        for path, octets in self.far.media.transmits():
            sent = True
            for port in self.near.relayed:
                if port.address == path.remote:
                    self.near.media.receive(octets, Path(*port, path.local), self.now)
        return sent


def talking(**options: Any) -> tuple[End, End, Wire]:
    near, far = End("near", "192.0.2.1", True), End("far", "198.51.100.2", False)
    near.media.take_answer(far.media.answer(near.media.offer(0.0), 0.0), 0.0)
    wire = Wire(near, far)
    lend(near, RELAYED, wire.now, **options)
    wire.run(2.0)
    return near, far, wire


def lend(end: End, port: LocalPort, now: float, *, follows: bool = False) -> None:
    end.relayed.add(port)
    base = end.media.paths.ports[-1]
    end.media.relayed(port, base, Address("203.0.113.9", 1), follows, now)


def move(end: End, now: float) -> LocalPort:
    """To another network, the one before being gone."""
    end.place = ("wwan0", "192.0.2.99")
    port = end.media.listen_on(*end.place, now)
    end.media.send_from(port, now)
    return port


def goes(end: End) -> Path | None:
    return end.media.paths.active


def test_media_goes_by_the_relay_where_nothing_else_does() -> None:
    near, far, _ = talking()
    assert goes(near) == Path(*RELAYED, far.media.paths.sending.address)
    assert goes(far) == Path(*far.media.paths.sending, RELAYED.address)
    assert near.media.paths.sending.address.host == "192.0.2.1"  # the network that it leaves by
    assert RELAYED not in near.media.paths.ports


def test_a_relay_is_told_of_in_the_next_offer() -> None:
    near, _, wire = talking()
    offer = near.media.offer(wire.now).decode()
    assert "203.0.113.1 50000 typ relay raddr 203.0.113.9 rport 1" in offer
    near.media.rollback()
    near.media.relay_gone(RELAYED, wire.now)
    assert "typ relay" not in near.media.offer(wire.now).decode()


def test_where_the_relay_follows_nothing_changes() -> None:
    near, far, wire = talking(follows=True)
    before = goes(near), goes(far)
    port = move(near, wire.now)
    assert (goes(near), goes(far)) == before
    near.media.relay_moved(RELAYED, port)
    wire.run(4.0)
    assert (goes(near), goes(far)) == before and near.media.paths.sending == port


def test_where_it_does_not_another_address_takes_its_place() -> None:
    near, far, wire = talking()
    near.relayed.clear()
    move(near, wire.now)
    near.media.relay_gone(RELAYED, wire.now)
    lend(near, SECOND, wire.now)
    wire.run(wire.now + 1.0)
    assert goes(near) == Path(*SECOND, far.media.paths.sending.address)
    assert goes(far) == Path(*far.media.paths.sending, SECOND.address)


def test_of_two_relays_the_one_that_came_first_goes_on() -> None:
    near, far, wire = talking()
    near.relayed.clear()
    move(near, wire.now)
    near.media.relay_gone(RELAYED, wire.now)
    lend(near, SECOND, wire.now)
    wire.run(wire.now + 1.0)
    lend(near, SECOND._replace(address=Address("203.0.113.2", 50000)), wire.now)
    wire.run(wire.now + 1.0)
    assert goes(near) == Path(*SECOND, far.media.paths.sending.address)


def test_a_relay_by_a_stream_is_the_last_resort() -> None:
    near, _, wire = talking()
    stream = LocalPort("wlan0", Address("203.0.113.3", 50000))
    near.media.relayed(stream, near.media.paths.ports[-1], None, False, wire.now)
    offer = near.media.offer(wire.now).decode()
    priorities = {
        host: int(offer.split(f" {host} 50000 typ relay")[0].rsplit(" ", 1)[1])
        for host in (RELAYED.address.host, stream.address.host)
    }
    assert priorities[RELAYED.address.host] > priorities[stream.address.host]
