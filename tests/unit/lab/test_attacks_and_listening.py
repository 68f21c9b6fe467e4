"""What the lab's attacker knows and makes, what the verdict sees, and what an eavesdropper gets."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from segue.base.coded_signal import coded_signal
from segue.base.frame import Frame, Samples
from segue.base.internet_checksum import internet_checksum
from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.devices.wav_sink import WavSink
from segue.lab.attacks.attacker import (
    BYE,
    CANCEL,
    FORGED_CHECK,
    FORGED_MEDIA,
    KINDS,
    PATIENCE,
    REINVITE,
    REPLAYED_CHECK,
    REPLAYED_MEDIA,
    Attacker,
    Phase,
    spread,
)
from segue.lab.attacks.during_moves import (
    OLD_ENOUGH,
    RELAYED_CHECK,
    REPLAYED_BEGINNING,
    RUN,
    DuringMoves,
)
from segue.lab.attacks.eavesdropper import as_attack, eavesdrop, likeness, speech_share
from segue.lab.attacks.forgeries import (
    ATTACKER,
    FORGING_PORT,
    RELAYING_PORT,
    REPLAYING_PORT,
    ToneVoice,
    Udp,
    forged_check,
    forged_rtcp_bye,
)
from segue.lab.attacks.verdict import Recording, as_json, foreign_ms, judge
from segue.lab.attacks.weak_phone import ForgetfulReceiver, TrustingReceiver
from segue.lab.attacks.wiretap import Wiretap
from segue.lab.measure.capture import CaptureWriter
from segue.lab.measure.packets import parse_frame
from segue.lab.measure.spoken import spoken_signal
from segue.media.codecs import codec_for
from segue.protocols.rtcp.packets import Bye, parse_rtcp
from segue.protocols.rtp.packet import RtpPacket, parse_rtp
from segue.protocols.sip.message import Request
from segue.protocols.sip.parser import parse_message
from segue.protocols.srtp.context import SrtpReceiver, SrtpSender
from segue.protocols.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    MOVED,
    NOMINATION,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
)
from segue.protocols.stun.message import Class, Method, StunMessage, parse_stun
from segue.testing.entropy import SeededEntropy

ROUTER, PHONE = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
TO_PHONE = Udp(ROUTER, PHONE, "2001:db8:1::10", 4000, "2001:db8:4::10", 5000, b"")
FROM_PHONE = Udp(PHONE, ROUTER, "2001:db8:4::10", 5000, "2001:db8:1::10", 4000, b"")
SIP_TO_PHONE = TO_PHONE._replace(source="2001:db8:17::2", source_port=5060, destination_port=33000)
SIP_FROM_PHONE = FROM_PHONE._replace(source_port=33000, destination="2001:db8:17::2", destination_port=5060)
KEY = MasterKey(Secret(bytes(range(16))), Secret(bytes(range(14))))

INVITE = b"""INVITE sip:bob@[2001:db8:4::10]:33000 SIP/2.0
Via: SIP/2.0/UDP [2001:db8:17::2]:5060;branch=z9hG4bKproxy
Via: SIP/2.0/UDP [2001:db8:1::10]:5060;branch=z9hG4bKalice
From: <sip:alice@example.org>;tag=a1
To: <sip:bob@example.org>
Call-ID: one@example.org
CSeq: 7 INVITE
Contact: <sip:alice@[2001:db8:1::10]:5060>
Content-Type: application/sdp

v=0
o=- 11 12 IN IP6 2001:db8:1::10
""".replace(b"\n", b"\r\n")
OK = b"""SIP/2.0 200 OK
Via: SIP/2.0/UDP [2001:db8:17::2]:5060;branch=z9hG4bKproxy
From: <sip:alice@example.org>;tag=a1
To: <sip:bob@example.org>;tag=b1
Call-ID: one@example.org
CSeq: 7 INVITE
Contact: <sip:bob@[2001:db8:4::10]:33000>
Content-Length: 0

""".replace(b"\n", b"\r\n")


def _media(number: int, samples: Samples, ssrc: int = 9) -> bytes:
    payload = codec_for("PCMA").encode(samples)
    return RtpPacket(8, False, 65530 + number & 0xFFFF, 160 * number, ssrc, payload).to_bytes()


def _attacker(kind: str, count: int, secure: bool = False) -> Attacker:
    phases = [Phase(1.0, {kind: count})]
    return Attacker(Wiretap({"cn-wlan0": "cn"}), phases, secure, SeededEntropy(1), 0.0)


def _talk(attacker: Attacker, packets: int, at: float = 0.0) -> list[bytes]:
    """Genuine media every 20 ms; the payloads that were injected."""
    signal = coded_signal(0, packets // 2 + 1, 8000)
    made = []
    for number in range(packets):
        now = at + 0.02 * number
        octets = _media(number, signal[160 * number : 160 * number + 160])
        attacker.receive("cn-wlan0", True, TO_PHONE._replace(payload=octets).to_bytes(), now)
        for later in (now + 0.005, now + 0.015):
            made += attacker.due(later)
    return [packet.payload for each in made if (packet := parse_frame(each.frame)) is not None]


@pytest.mark.parametrize("family", [4, 6])
def test_a_forged_frame_is_a_correct_one(family: int) -> None:
    made = TO_PHONE._replace(payload=b"odd")
    if family == 4:
        made = made._replace(source="198.18.1.1", destination="198.18.4.10")
    frame = made.to_bytes()
    packet = parse_frame(frame)
    assert packet is not None
    assert packet[:6] == (made.source, 4000, made.destination, 5000, 17, b"odd")
    assert frame[:12] == PHONE + ROUTER
    if family == 4:
        assert internet_checksum(frame[14:34]) == 0
        pseudo = frame[26:34] + b"\0\x11" + (11).to_bytes(2, "big")
        assert internet_checksum(pseudo + frame[34:]) == 0
    else:
        pseudo = frame[22:54] + (11).to_bytes(4, "big") + b"\0\0\0\x11"
        assert internet_checksum(pseudo + frame[54:]) == 0


def test_forged_media_comes_just_ahead_of_the_genuine_packet() -> None:
    forged = [parse_rtp(octets) for octets in _talk(_attacker(FORGED_MEDIA, 25), 100)]
    assert len(forged) == 25
    assert {packet.ssrc for packet in forged} == {9}
    numbers = [packet.sequence for packet in forged]
    assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(25)]
    assert all(packet.timestamp == 160 * ((packet.sequence - 65530) & 0xFFFF) for packet in forged)
    sound = np.concatenate([codec_for("PCMA").decode(packet.payload) for packet in forged])
    assert foreign_ms(Recording(sound, 8000)) == pytest.approx(500, abs=25)


def test_forged_srtp_has_the_length_of_a_genuine_packet_and_no_valid_tag() -> None:
    attacker = _attacker(FORGED_MEDIA, 5, secure=True)
    sender, receiver = (
        kind(Suite.AES_CM_128_HMAC_SHA1_80, key) for kind, key in ((SrtpSender, KEY), (SrtpReceiver, [KEY]))
    )  # type: ignore[operator]
    made = []
    for number in range(100):
        octets = sender.protect(_media(number, np.zeros(160, np.int16)))
        attacker.receive("cn-wlan0", True, TO_PHONE._replace(payload=octets).to_bytes(), 0.02 * number)
        made += attacker.due(0.02 * number + 0.015)
        assert receiver.unprotect(octets) is not None
    forged = [packet.payload for each in made if (packet := parse_frame(each.frame)) is not None]
    assert [len(octets) for octets in forged] == [182] * 5
    assert [receiver.unprotect(octets) for octets in forged] == [None] * 5


def test_replays_are_octet_for_octet_and_late() -> None:
    attacker = _attacker(REPLAYED_MEDIA, 30)
    replayed = _talk(attacker, 300)
    signal = coded_signal(0, 151, 8000)
    genuine = {_media(n, signal[160 * n : 160 * n + 160]) for n in range(300)}
    assert len(replayed) == 30
    assert set(replayed) <= genuine
    assert attacker.finished


def _in_a_call(kind: str) -> tuple[list[Request], Attacker]:
    attacker = _attacker(kind, 1)
    attacker.receive("cn-wlan0", True, SIP_TO_PHONE._replace(payload=INVITE).to_bytes(), 0.0)
    if kind != CANCEL:
        attacker.receive("cn-wlan0", False, SIP_FROM_PHONE._replace(payload=OK).to_bytes(), 0.1)
    made = attacker.due(1.0)
    messages = [parse_message(packet.payload) for each in made if (packet := parse_frame(each.frame))]
    return [message for message in messages if isinstance(message, Request)], attacker


def test_a_bye_in_the_clear_has_the_dialog_of_the_call() -> None:
    requests, _ = _in_a_call(BYE)
    (bye,) = requests
    assert (bye.method, bye.uri) == ("BYE", "sip:bob@[2001:db8:4::10]:33000")
    assert (bye.call_id, bye.from_.tag, bye.to.tag) == ("one@example.org", "a1", "b1")
    assert bye.cseq.number > 7


def test_a_cancel_matches_the_invite_that_rings() -> None:
    requests, _ = _in_a_call(CANCEL)
    (cancel,) = requests
    assert (cancel.method, cancel.cseq.number, cancel.via.branch) == ("CANCEL", 7, "z9hG4bKproxy")
    assert cancel.to.tag is None


def test_a_forged_offer_wants_the_media_elsewhere_and_is_acknowledged() -> None:
    requests, attacker = _in_a_call(REINVITE)
    (invite,) = requests
    assert b"c=IN IP6 2001:db8:66::66\r\n" in invite.body
    assert b"o=- 11 113 IN IP6 2001:db8:1::10\r\n" in invite.body
    answer = OK.replace(b"z9hG4bKproxy", (invite.via.branch or "").encode())
    made = attacker.receive("cn-wlan0", False, SIP_FROM_PHONE._replace(payload=answer).to_bytes(), 2.0)
    packet = parse_frame(made[0].frame)
    assert packet is not None and packet.payload.startswith(b"ACK sip:bob@")


def test_without_a_call_nothing_is_sent_and_the_plan_ends() -> None:
    attacker = _attacker(FORGED_MEDIA, 10)
    assert attacker.due(100.0) == []
    assert attacker.ends_at == 1.0 + PATIENCE


def test_a_query_of_the_dns_is_no_media() -> None:
    tap = Wiretap({"cn-wlan0": "cn"})
    query = TO_PHONE._replace(source_port=53, payload=b"\x80\0" + bytes(40))
    assert tap.receive("cn-wlan0", True, query.to_bytes(), 0.0) is None
    assert tap.targets["cn"].media is None


def test_the_rtcp_bye_names_the_source() -> None:
    assert Bye((9,)) in parse_rtcp(forged_rtcp_bye(9, False, SeededEntropy(1)))


def test_all_packets_of_a_walk_are_shared_out() -> None:
    counts = spread(1000, sip_over_udp=True, checks=True)
    assert sum(counts.values()) == 1000
    assert set(counts) == set(KINDS) - {RELAYED_CHECK, REPLAYED_BEGINNING}  # those are for each move


# The verdict


def _record(path: Path, *pieces: Samples) -> None:
    sink = WavSink(str(path), 8000)
    sink.write(Frame(np.concatenate(pieces), 8000))
    sink.close()


def _tone(packets: int) -> Samples:
    voice = ToneVoice(8)
    return np.concatenate([codec_for("PCMA").decode(voice.payload()) for _ in range(packets)])


def _case(folder: Path, lines: list[dict[str, object]], frames: list[tuple[float, bool, Udp]]) -> None:
    (folder / "captures").mkdir()
    with open(folder / "captures" / "cn-wlan0.pcapng", "wb") as file:
        writer = CaptureWriter(file, "cn wlan0")
        for at, received, datagram in frames:
            writer.write(datagram.to_bytes(), int(at * 1e9), received)
    common = {"target": "cn", "far_end": "cn-wlan0", "reached": True}
    (folder / "attacks.jsonl").write_text("".join(json.dumps(common | line) + "\n" for line in lines))


def _line(kind: str, at: float, octets: bytes, **facts: object) -> dict[str, object]:
    return {"kind": kind, "time": at, "sha256": sha256(octets).hexdigest(), **facts}


def test_the_tone_in_a_recording_is_forged_media_accepted(tmp_path: Path) -> None:
    octets = [bytes([0x80, 8, n]) + bytes(20) for n in range(40)]
    _case(
        tmp_path,
        [_line(FORGED_MEDIA, 1.0, each) for each in octets],
        [(1.0, True, TO_PHONE._replace(payload=each)) for each in octets[:30]],
    )
    _record(tmp_path / "cn.wav", coded_signal(0, 50, 8000), _tone(20), coded_signal(50, 50, 8000))
    (result,) = judge(tmp_path)
    assert result.tried == 30  # ten never reached the wire
    assert result.accepted == pytest.approx(20, abs=1)
    _record(tmp_path / "cn.wav", coded_signal(0, 100, 8000))
    assert judge(tmp_path)[0].accepted == 0


def test_decrypted_forgeries_are_heard_as_noise() -> None:
    noise = codec_for("PCMA").decode(SeededEntropy(3).octets(1600))
    clean = coded_signal(0, 100, 8000)
    assert foreign_ms(Recording(np.concatenate((clean, noise)), 8000)) == pytest.approx(200, abs=20)
    assert foreign_ms(Recording(clean, 8000)) == 0


def test_noise_in_human_speech_is_foreign_and_the_speech_is_not() -> None:
    speech = spoken_signal("speech", 8000)
    noise = codec_for("PCMA").decode(SeededEntropy("noise").octets(1600))
    assert foreign_ms(Recording(speech[:80_000], 8000), speech) == 0
    spoiled = np.concatenate((speech[:40_000], noise, speech[41_600:80_000]))
    assert foreign_ms(Recording(spoiled, 8000), speech) == pytest.approx(200, abs=40)


def test_a_repeated_piece_is_a_replay_accepted(tmp_path: Path) -> None:
    octets = bytes([0x80, 8]) + bytes(20)
    _case(
        tmp_path, [_line(REPLAYED_MEDIA, 1.0, octets)] * 10, [(1.0, True, TO_PHONE._replace(payload=octets))]
    )
    signal = coded_signal(0, 100, 8000)
    _record(tmp_path / "cn.wav", signal[:16000], signal[8000:9600], signal[16000:])
    assert judge(tmp_path)[0].accepted == 10
    _record(tmp_path / "cn.wav", signal)
    assert judge(tmp_path)[0].accepted == 0


def test_one_block_that_concealment_repeats_is_no_replay(tmp_path: Path) -> None:
    octets = bytes([0x80, 8]) + bytes(20)
    _case(
        tmp_path, [_line(REPLAYED_MEDIA, 1.0, octets)] * 10, [(1.0, True, TO_PHONE._replace(payload=octets))]
    )
    signal = coded_signal(0, 100, 8000)
    _record(tmp_path / "cn.wav", signal[:16000], signal[15360:15680], signal[17600:])
    assert judge(tmp_path)[0].accepted == 0
    _record(tmp_path / "cn.wav", signal[:16000], signal[15040:15680], signal[17600:])
    assert judge(tmp_path)[0].accepted == 4


def test_speech_that_is_heard_again_is_a_replay_accepted(tmp_path: Path) -> None:
    octets = bytes([0x80, 8]) + bytes(20)
    _case(
        tmp_path, [_line(REPLAYED_MEDIA, 1.0, octets)] * 20, [(1.0, True, TO_PHONE._replace(payload=octets))]
    )
    speech = spoken_signal("speech", 8000)
    _record(tmp_path / "cn.wav", speech[:40_000], speech[16_000:19_200], speech[40_000:64_000])
    assert judge(tmp_path, speech=speech)[0].accepted >= 10
    _record(tmp_path / "cn.wav", speech[:64_000])
    assert judge(tmp_path, speech=speech)[0].accepted == 0


@pytest.mark.parametrize(("last", "accepted"), [(8.0, 1), (20.0, 0)])
def test_a_call_that_ends_right_after_a_forged_bye(tmp_path: Path, last: float, accepted: int) -> None:
    octets = b"BYE sip:bob@example.org SIP/2.0\r\n\r\n"
    media = _media(0, np.zeros(160, np.int16))
    frames = [(float(t), False, FROM_PHONE._replace(payload=media)) for t in range(int(last) + 1)]
    _case(
        tmp_path,
        [_line(BYE, 7.5, octets, branch="z9hG4bKx", method="BYE")],
        [*frames, (7.5, True, TO_PHONE._replace(payload=octets))],
    )
    assert judge(tmp_path, until=20.0)[0][:3] == (BYE, 1, accepted)


def test_media_that_goes_to_the_attacker_is_an_invite_accepted(tmp_path: Path) -> None:
    octets = b"INVITE sip:bob@example.org SIP/2.0\r\n\r\n"
    stolen = FROM_PHONE._replace(destination="2001:db8:66::66", payload=_media(0, np.zeros(160, np.int16)))
    line = _line(REINVITE, 1.0, octets, branch="z9hG4bKx", method="INVITE")
    _case(tmp_path, [line], [(1.0, True, TO_PHONE._replace(payload=octets)), (2.0, False, stolen)])
    results = judge(tmp_path)
    assert results[0].accepted == 1
    assert as_json(results, results)[0]["control_accepted"] == 1


# Weak phones


def test_a_receiver_without_replay_list_takes_a_packet_twice() -> None:
    packet = SrtpSender(Suite.AES_CM_128_HMAC_SHA1_80, KEY).protect(_media(0, np.zeros(160, np.int16)))
    weak = ForgetfulReceiver(Suite.AES_CM_128_HMAC_SHA1_80, [KEY])
    assert weak.unprotect(packet) == weak.unprotect(packet) is not None
    assert weak.unprotect(packet[:-1] + bytes([packet[-1] ^ 1])) is None


@pytest.mark.parametrize("suite", [Suite.AES_CM_128_HMAC_SHA1_32, Suite.AEAD_AES_128_GCM])
def test_a_receiver_that_trusts_decrypts_whatever_the_tag(suite: Suite) -> None:
    key = KEY._replace(salt=Secret(bytes(suite.salt_length)))
    plain = _media(0, coded_signal(0, 1, 8000)[:160])
    packet = SrtpSender(suite, key).protect(plain)
    assert TrustingReceiver(suite, key).unprotect(packet[:-1] + bytes([packet[-1] ^ 1])) == plain


@pytest.mark.parametrize("module", ["process", "weak_phone"])
def test_nothing_of_it_runs_outside_the_lab(module: str, tmp_path: Path) -> None:
    options = {
        "aor": "sip:bob@example.org",
        "transport": "udp",
        "codec": "PCMA",
        "keying": "none",
        "family": 6,
    }
    options |= {"audio_in": "coded", "audio_out": "null", "weak": [], "answer_after": 0}
    (tmp_path / "secret").write_text("x")
    arguments = [json.dumps(options | {"password": str(tmp_path / "secret")}), str(tmp_path / "log")]
    done = subprocess.run(
        [sys.executable, "-m", f"segue.lab.attacks.{module}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "inside the lab" in done.stderr
    assert not (tmp_path / "log").exists()


# The eavesdropper


def _overhear(folder: Path, samples: Samples, suite: Suite | None) -> None:
    folder.mkdir()
    sender = SrtpSender(suite, KEY) if suite else None
    with open(folder / "mn-wlan0.pcapng", "wb") as file:
        writer = CaptureWriter(file, "mn wlan0")
        for number in range(len(samples) // 160):
            octets = _media(number, samples[160 * number : 160 * number + 160])
            octets = sender.protect(octets) if sender else octets
            writer.write(TO_PHONE._replace(payload=octets).to_bytes(), number * 20_000_000, True)
        sip = SIP_TO_PHONE._replace(
            payload=b"SIP/2.0 200 OK\r\n\r\nhunter2 inline:abc" if not suite else b"x"
        )
        writer.write(sip.to_bytes(), 0, True)


def test_a_clear_call_is_overheard_and_an_encrypted_one_is_not(tmp_path: Path) -> None:
    signal = coded_signal(0, 150, 8000)
    secrets = {"password": b"hunter2"}
    _overhear(tmp_path / "clear", signal, None)
    report = eavesdrop(tmp_path / "clear", tmp_path / "wav", secrets=secrets)
    assert report.got_speech > 0.98
    assert report.streams[0][:5] == ("mn wlan0", True, 9, "PCMA", 300)
    assert report.found["SDES key (inline:)"] == report.found["password"] == 1
    assert report.found["speech in G.711"] > 3
    assert (tmp_path / "wav" / "mn-wlan0-to-00000009.wav").stat().st_size == 44 + 2 * 48000
    assert as_attack(report)[1:3] == (1, 1)
    _overhear(tmp_path / "secure", signal, Suite.AES_CM_128_HMAC_SHA1_80)
    report = eavesdrop(tmp_path / "secure", secrets=secrets)
    assert report.got_speech == 0.0
    assert set(report.found.values()) == {0}
    assert as_attack(report)[1:3] == (1, 0)


def test_human_speech_is_known_by_its_likeness() -> None:
    rng = np.random.default_rng(1)
    spoken = (rng.standard_normal(40_000) * np.repeat(rng.random(400), 100) * 6000).astype(np.int16)
    coded = codec_for("PCMU")
    assert speech_share(coded.decode(coded.encode(spoken[4000:36_000])), 8000, spoken) == 1.0
    noise = (rng.standard_normal(32_000) * 6000).astype(np.int16)
    assert speech_share(noise, 8000, spoken) == 0.0
    assert likeness(noise[:8000], spoken) < 0.2


def genuine_check(controlling: bool) -> bytes:
    message = StunMessage(Class.REQUEST, Method.BINDING, b"genuine 1234")
    message.add(USERNAME, "theirs:ours").add(PRIORITY, 7)
    message.add(ICE_CONTROLLING if controlling else ICE_CONTROLLED, 99).add(NOMINATION, 3)
    return message.write(Secret(b"password"), fingerprint=True)


@pytest.mark.parametrize("controlling", [True, False])
def test_a_forged_check_has_all_but_the_password(controlling: bool) -> None:
    forged = parse_stun(forged_check(genuine_check(controlling), SeededEntropy(1)))
    assert forged.get(USERNAME) == "theirs:ours" and forged.fingerprint
    assert forged.transaction != b"genuine 1234" and not forged.verify(Secret(b"password"))
    if controlling:
        assert forged.get(USE_CANDIDATE) and (forged.get(NOMINATION) or 0) > 3
    else:
        assert not forged.get(USE_CANDIDATE) and (forged.get(MOVED) or 0) > 0


def test_checks_are_forged_and_replayed_from_where_the_attacker_listens_and_his_answers_follow() -> None:
    tap = Wiretap({"cn-wlan0": "cn"})
    phases = [Phase(0.0, {FORGED_CHECK: 1, REPLAYED_CHECK: 1})]
    attacker = Attacker(tap, phases, True, SeededEntropy(1), now=0.0)
    genuine = Udp(b"\2" * 6, b"\4" * 6, "198.18.1.100", 20000, "198.18.4.10", 30000, genuine_check(True))
    attacker.receive("cn-wlan0", True, genuine.to_bytes(), 0.1)
    made = {each.record["kind"]: parse_frame(each.frame) for each in attacker.due(0.5)}
    assert set(made) == {FORGED_CHECK, REPLAYED_CHECK}
    for kind, port in ((FORGED_CHECK, FORGING_PORT), (REPLAYED_CHECK, REPLAYING_PORT)):
        packet = made[kind]
        assert packet is not None and packet.destination_port == 30000
        assert (packet.source, packet.source_port) == (ATTACKER[4], port)
    replay = made[REPLAYED_CHECK]
    assert replay is not None and replay.payload == genuine.payload
    ask = Udp(b"\4" * 6, b"\2" * 6, "198.18.4.10", 30000, ATTACKER[4], FORGING_PORT, genuine_check(False))
    (answer,) = attacker.receive("cn-wlan0", False, ask.to_bytes(), 0.6)
    answered = parse_frame(answer.frame)
    assert answered is not None and answered.destination == "198.18.4.10"
    response = parse_stun(answered.payload)
    assert response.kind is Class.SUCCESS and not response.verify(Secret(b"password"))


# During moves

MOVER, STAYS = "198.18.1.100", "198.18.4.10"
UPLINK = Udp(ROUTER, PHONE, MOVER, 4000, STAYS, 5000, b"")
DOWNLINK = Udp(ROUTER, PHONE, STAYS, 5000, MOVER, 4000, b"")


def _moving(beginning: int = 0, relays: bool = False) -> Attacker:
    tap = Wiretap({"mn-wlan0": "mn", "cn-wlan0": "cn"})
    moves = DuringMoves(tap, beginning, relays)
    attacker = Attacker(tap, [Phase(0.0, {})], True, SeededEntropy(1), now=0.0, moves=moves)
    for far_end, datagram in (("mn-wlan0", DOWNLINK), ("cn-wlan0", UPLINK)):
        octets = _media(0, np.zeros(160, np.int16))
        assert attacker.receive(far_end, True, datagram._replace(payload=octets).to_bytes(), 0.1) == []
    return attacker


def test_a_check_from_a_new_address_is_relayed_ahead_and_behind() -> None:
    attacker = _moving(relays=True)
    check = UPLINK._replace(source="198.18.3.7", payload=genuine_check(True))
    ahead = attacker.receive("mn-wlan0", False, check.to_bytes(), 5.0)
    behind = attacker.receive("cn-wlan0", True, check.to_bytes(), 5.02)
    for (made,), how in ((ahead, "ahead"), (behind, "behind")):
        packet = parse_frame(made.frame)
        assert packet is not None and packet.payload == check.payload
        assert packet[:4] == (ATTACKER[4], RELAYING_PORT, STAYS, 5000)
        assert (made.far_end, made.record["kind"], made.record["how"]) == ("cn-wlan0", RELAYED_CHECK, how)
    fresh = UPLINK._replace(payload=genuine_check(True))
    assert attacker.receive("mn-wlan0", False, fresh.to_bytes(), 6.0) == []  # from where it is anyway
    assert not attacker.finished  # the next move may come


def test_the_beginning_of_a_call_comes_again_by_the_new_path_and_from_elsewhere() -> None:
    attacker = _moving(beginning=3 * RUN)
    genuine = [_media(number, np.zeros(160, np.int16)) for number in range(1, 3 * RUN)]
    for number, octets in enumerate(genuine, 1):
        frame = UPLINK._replace(payload=octets).to_bytes()
        attacker.receive("cn-wlan0", True, frame, 0.1 + 0.02 * number)
    assert attacker.due(6.0) == []  # nobody has moved
    moved = UPLINK._replace(source="198.18.3.7", payload=_media(300, np.zeros(160, np.int16)))
    attacker.receive("cn-wlan0", True, moved.to_bytes(), 0.1 + OLD_ENOUGH + 2.0)
    runs = [attacker.due(6.2), attacker.due(6.21), attacker.due(6.3), attacker.due(6.4), attacker.due(6.5)]
    assert [len(run) for run in runs] == [RUN, 0, RUN, RUN, 0]
    packets = [packet for run in runs for each in run if (packet := parse_frame(each.frame)) is not None]
    assert [packet.payload for packet in packets[1:]] == genuine
    assert {packet.source for packet in packets} == {"198.18.3.7", ATTACKER[4]}
    assert all(each.record["kind"] == REPLAYED_BEGINNING for run in runs for each in run)


@pytest.mark.parametrize(("later", "copied", "accepted"), [(0.4, False, 0), (1.5, False, 1), (1.5, True, 0)])
def test_who_has_media_alone_a_second_after_a_relayed_check_has_won(
    tmp_path: Path, later: float, copied: bool, accepted: int
) -> None:
    check, media = genuine_check(True), _media(0, np.zeros(160, np.int16))
    to_him = FROM_PHONE._replace(destination=ATTACKER[6], destination_port=RELAYING_PORT, payload=media)
    frames = [(5.0, True, TO_PHONE._replace(payload=check)), (5.0 + later, False, to_him)]
    if copied:
        frames.append((5.1 + later, True, FROM_PHONE._replace(payload=media)))
    _case(tmp_path, [_line(RELAYED_CHECK, 5.0, check)], frames)
    (result,) = judge(tmp_path)
    assert result[:3] == (RELAYED_CHECK, 1, accepted)
    assert "1 media packets went to the attacker" in result.evidence


def test_a_beginning_that_is_heard_again_is_a_replay_accepted(tmp_path: Path) -> None:
    octets = bytes([0x80, 8]) + bytes(20)
    frames = [(9.0, True, TO_PHONE._replace(payload=octets))]
    _case(tmp_path, [_line(REPLAYED_BEGINNING, 9.0, octets)] * 20, frames)
    signal = coded_signal(0, 250, 8000)
    _record(tmp_path / "cn.wav", signal[:64_000], signal[:3200], signal[64_000:])
    assert judge(tmp_path)[0].accepted == pytest.approx(20, abs=2)
    _record(tmp_path / "cn.wav", signal)
    assert judge(tmp_path)[0].accepted == 0
