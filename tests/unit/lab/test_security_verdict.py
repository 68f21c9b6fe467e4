"""libsrtp's verdict on streams that were made here: what is clear, and whether the keys changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.base.keying import MasterKey, Suite
from segue.base.secret import Secret
from segue.lab.measure.measures import Sighting
from segue.lab.measure.security import verdict
from segue.protocols.rtp.packet import RtpPacket
from segue.protocols.srtp.context import SrtpSender

SUITES = [Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_256_GCM, Suite.AES_256_CM_HMAC_SHA1_80]
REPORT = b"\x80\xc9\0\1" + (9).to_bytes(4, "big")  # an empty receiver report


def key(suite: Suite, seed: int) -> MasterKey:
    return MasterKey(Secret(bytes([seed]) * suite.key_length), Secret(bytes([seed + 1]) * suite.salt_length))


def rtp(number: int, ssrc: int = 9) -> bytes:
    return RtpPacket(8, False, number & 0xFFFF, 160 * number, ssrc, bytes(160)).to_bytes()


class Call:
    """mn sends with `keys`, one after the other, 50 packets and a report each; cn is silent."""

    def __init__(self, folder: Path, suite: Suite, keys: list[MasterKey]) -> None:
        self.folder = folder
        self.media: list[bytes] = []
        self.reports: list[bytes] = []
        lines = []
        for number, each in enumerate(keys):
            sender = SrtpSender(suite, each)
            self.media += [sender.protect(rtp(100 * number + n)) for n in range(50)]
            self.reports.append(sender.protect_rtcp(REPORT))
            said = {"key": each.key.reveal().hex(), "salt": each.salt.reveal().hex()}
            lines.append(json.dumps({"suite": suite.value, "local": said, "remote": said}))
        (folder / "phones").mkdir()
        (folder / "phones" / "mn.keys").write_text("\n".join(lines) + "\n")

    def verdict(self) -> dict[str, object]:
        sent, reports = (
            {"mn": [Sighting(float(n), "mn wlan0", o) for n, o in enumerate(octets)], "cn": []}
            for octets in (self.media, self.reports)
        )
        return verdict(self.folder, [], [], sent, {}, reports=reports)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.value)
def test_one_key_for_all(suite: Suite, tmp_path: Path) -> None:
    said = Call(tmp_path, suite, [key(suite, 1)]).verdict()
    assert (said["clear_rtp_packets"], said["clear_rtcp_packets"], said["keys_changed"]) == (0, 0, False)
    assert said["media_packets"] == 50


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.value)
def test_another_key_later_is_told_and_is_not_clear(suite: Suite, tmp_path: Path) -> None:
    said = Call(tmp_path, suite, [key(suite, 1), key(suite, 5)]).verdict()
    assert (said["clear_rtp_packets"], said["clear_rtcp_packets"], said["keys_changed"]) == (0, 0, True)


@pytest.mark.parametrize("ssrc", [9, 10], ids=["its own source", "another source"])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.value)
def test_clear_packets_are_counted(suite: Suite, ssrc: int, tmp_path: Path) -> None:
    call = Call(tmp_path, suite, [key(suite, 1)])
    call.media += [rtp(60 + n, ssrc) for n in range(3)]
    call.reports.append(REPORT)
    said = call.verdict()
    assert (said["clear_rtp_packets"], said["clear_rtcp_packets"]) == (3, 1)


def test_without_keys_everything_is_clear(tmp_path: Path) -> None:
    suite = SUITES[0]
    call = Call(tmp_path, suite, [key(suite, 1)])
    (tmp_path / "phones" / "mn.keys").unlink()
    sent = {"mn": [Sighting(0.0, "mn wlan0", rtp(1))], "cn": []}
    up = {"verification": {"assurance": "none"}}
    assert verdict(tmp_path, [], [], sent, up, keyed=False)["clear_rtp_packets"] == 1
    assert verdict(tmp_path, [], [], sent, {}, keyed=True)["clear_rtp_packets"] is None
    assert call.media
