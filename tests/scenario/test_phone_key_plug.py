# ruff: noqa: ARG002
"""The plug of key agreements takes one that speaks on the media path, as DTLS-SRTP and ZRTP do: a handshake of
several round trips with timers, beside SDES, which needs none of that.

The agreement here is a toy with the outer form of DTLS: fingerprints and roles in SDP, flights that are repeated
until they are answered, keys at the end, and a peer that is authenticated when a user has compared two strings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from segue.base.errors import RemoteError
from segue.base.keying import (
    Assurance,
    Attribute,
    KeyAgreement,
    KeyingEvent,
    KeyingFailed,
    KeysReady,
    MasterKey,
    SrtpKeys,
    Suite,
    Verification,
    VerificationChanged,
)
from segue.base.secret import Secret
from segue.call import events as say
from segue.testing.phones import Street, TestPhone, phone_config

SUITE = Suite.AES_CM_128_HMAC_SHA1_80
REPEAT, TRIES = 0.15, 20


class Handshake:
    """Flights 0 to 3 go to and fro, the answerer begins; each carries a nonce that SDP has the hash of."""

    profile = "UDP/TLS/RTP/SAVP"

    def __init__(self, name: str) -> None:
        self._nonce = hashlib.sha256(name.encode()).digest()
        self._active = False
        self._fingerprint = ""
        self._last = -1  # our last flight
        self._out: list[bytes] = []
        self._again_at: float | None = None
        self._tries = 0
        self._peer = b""
        self._events: list[KeyingEvent] = []
        self.done = False

    def offer(self, now: float, moved: bool = False) -> list[Attribute]:
        return self._attributes("active" if self._active else "actpass")

    def receive_offer(self, attributes: list[Attribute], now: float, moved: bool = False) -> list[Attribute]:
        self._read(attributes)
        if not self.done and self._last < 0:
            self._active = True
            self._send(0, now)
        return self._attributes("active" if self._active else "passive")

    def receive_answer(self, attributes: list[Attribute], now: float) -> None:
        self._read(attributes)

    def receive(self, data: bytes, source: object, now: float) -> None:
        flight, nonce = data[1], data[2:34]
        if len(data) != 34 or flight > 3 or flight % 2 == (not self._active) or self.done:
            return
        if self._fingerprint and hashlib.sha256(nonce).hexdigest() != self._fingerprint:
            return  # somebody else's
        if flight == self._last + 1:
            self._peer = nonce
            if flight < 3:
                self._send(flight + 1, now)
            if flight >= 2 and self._fingerprint:
                self._finish()

    def confirm(self, matches: bool, now: float) -> None:
        assurance = Assurance.END_TO_END if matches else Assurance.ENCRYPTED
        self._events.append(VerificationChanged(Verification(assurance, "toy", evidence="SAS confirmed")))

    def transmits(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def deadline(self) -> float | None:
        return None if self.done else self._again_at

    def expire(self, now: float) -> None:
        if self.done or self._again_at is None or self._again_at > now:
            return
        self._tries += 1
        if self._tries > TRIES:
            self._again_at = None
            self._events.append(KeyingFailed("the peer does not finish the handshake"))
        else:
            self._send(self._last, now)

    def events(self) -> list[KeyingEvent]:
        events, self._events = self._events, []
        return events

    def _attributes(self, role: str) -> list[Attribute]:
        fingerprint = hashlib.sha256(self._nonce).hexdigest()
        return [Attribute("setup", role), Attribute("fingerprint", f"sha-256 {fingerprint}")]

    def _read(self, attributes: list[Attribute]) -> None:
        found = [a.value.removeprefix("sha-256 ") for a in attributes if a.name == "fingerprint"]
        if not found:
            raise RemoteError("no fingerprint", 488)
        self._fingerprint = found[0]

    def _send(self, flight: int, now: float) -> None:
        self._last, self._again_at = flight, now + REPEAT
        self._out.append(b"\x16" + bytes([flight]) + self._nonce)

    def _finish(self) -> None:
        self.done = True
        ours, theirs = (
            MasterKey(Secret(hashlib.sha256(a + b).digest()[:16]), Secret(bytes(14)))
            for a, b in ((self._nonce, self._peer), (self._peer, self._nonce))
        )
        self._events.append(KeysReady(SrtpKeys(SUITE, ours, theirs)))
        self._events.append(VerificationChanged(Verification(Assurance.ENCRYPTED, "toy", detail="1234")))


class Plug:
    """In the place of `call.keying.Keying`."""

    def __init__(self, name: str, make: Callable[[str], KeyAgreement]) -> None:
        self._name, self._make = name, make
        self.made: list[KeyAgreement] = []

    def offered_over(self, secure: bool) -> bool:
        return True

    def to_offer(self, secure: bool) -> KeyAgreement:
        self.made.append(self._make(self._name))
        return self.made[-1]

    to_answer = to_offer


def street(**wire: float) -> tuple[Street, TestPhone, TestPhone]:
    s = Street(phone_config("alice"), phone_config("bob"), **wire)  # type: ignore[arg-type]
    for phone in s.phones:
        object.__setattr__(phone.agent.setup, "keying", Plug(phone.name, Handshake))
    return s, *s.phones


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_call_is_keyed_by_a_handshake_on_the_media_path(loss: float) -> None:
    s, a, b = street(loss=loss, seed=4)
    s.meet()
    s.run(3)
    for phone in (a, b):
        assert phone.is_up and phone.hears(1.0)
        (up,), changed = phone.said(say.Up), phone.said(say.ProtectionChanged)
        suite = changed[-1].suite if changed else up.suite
        assert suite == SUITE.value
        assert all(packet.packet[0] == 0x80 for packet in phone.sent_media), "RTP"
    first = min(packet.at for packet in b.sent_media)
    assert first >= s.messages[0].at + 2 * s.wire.delay, "nothing before there are keys"
    clear = Street(phone_config("alice", keying="none"), phone_config("bob", keying="none"))
    clear.meet()
    assert not clear.phones[0].call.media.transmits()


def test_the_peer_is_authenticated_later_and_the_user_hears_of_it() -> None:
    s, a, _ = street()
    s.meet()
    a.agent.confirm(a.call.id, True, s.now)
    s.drain()
    assert a.said(say.ProtectionChanged)[-1].verification.assurance is Assurance.END_TO_END


def test_a_handshake_that_never_ends_ends_the_call_and_says_why() -> None:
    s, a, b = street()
    s.muted = {"first", "second"}
    s.meet()
    s.run(10)
    ends = [*a.said(say.Ended), *b.said(say.Ended)]
    assert len(ends) == 2 and any("no keys: the peer does not finish" in end.reason for end in ends)
    assert not a.sent_media and not b.sent_media


def test_keys_stay_over_a_move() -> None:
    s, a, b = street()
    s.meet()
    a.leave("wlan0")
    a.join("wwan0", "198.51.100.1")
    s.run(3)
    assert [e.ok for e in a.said(say.MoveEnded)] == [True] and a.hears() and b.hears()
    plug = a.agent.setup.keying
    assert isinstance(plug, Plug) and len(plug.made) == 1


def test_handshakes_of_strangers_and_garbage_of_their_form_change_nothing() -> None:
    s, a, b = street()
    s.meet(answer=False)
    port = b.call.media.paths.ports[0]
    for data in (b"\x16", b"\x16\0", b"\x16\0" + bytes(32), b"\x16\xff" * 17, b"\x10" * 40):
        s.inject_media(b, port, data)
    s.answer(b)
    assert a.hears() and b.hears()
