"""Typed attributes and format parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.base.errors import RemoteError
from segue.protocols.sdp import (
    Attribute,
    Connection,
    Direction,
    Fmtp,
    MediaDescription,
    OpusParameters,
    Rtcp,
    RtpMap,
    event_codes,
    fmtps_of,
    maxptime_of,
    opus_parameters,
    ptime_of,
    rtcp_of,
    rtpmaps_of,
)


def media(*attributes: str) -> MediaDescription:
    pairs = tuple(Attribute(name, value or None) for name, _, value in (a.partition(":") for a in attributes))
    return MediaDescription("audio", 49170, "RTP/AVP", ("0", "96"), attributes=pairs)


def test_rtpmap_both_ways() -> None:
    maps = rtpmaps_of(media("rtpmap:0 PCMU/8000", "rtpmap:96 opus/48000/2", "rtpmap:96 other/1"))
    assert maps == {0: RtpMap(0, "PCMU", 8000), 96: RtpMap(96, "opus", 48000, 2)}
    assert [str(mapping) for mapping in maps.values()] == ["0 PCMU/8000", "96 opus/48000/2"]


def test_fmtp_both_ways() -> None:
    found = fmtps_of(media("fmtp:101 0-15", "fmtp:96 useinbandfec=1; stereo=0"))
    assert found == {"101": "0-15", "96": "useinbandfec=1; stereo=0"}
    assert str(Fmtp("101", "0-15")) == "101 0-15"


def test_packet_times_may_be_fractions() -> None:
    assert ptime_of(media("ptime:20")) == 20
    assert ptime_of(media("ptime:2.5")) == 2.5
    assert maxptime_of(media("maxptime:150")) == 150
    assert ptime_of(media()) is None


def test_examples_of_rfc3605() -> None:
    assert rtcp_of(media("rtcp:53020")) == Rtcp(53020)
    assert rtcp_of(media("rtcp:53020 IN IP4 126.16.64.4")) == Rtcp(
        53020, Connection("IN", "IP4", "126.16.64.4")
    )
    said = rtcp_of(media("rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD"))
    assert said is not None
    assert said.connection is not None
    assert said.connection.host() == "2001:2345:6789:abcd:ef01:2345:6789:abcd"
    assert str(said) == "53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD"
    assert rtcp_of(media()) is None


@pytest.mark.parametrize(
    "attribute",
    [
        "rtpmap:96",
        "rtpmap:96 opus",
        "rtpmap:128 opus/48000/2",
        "rtpmap:-1 opus/48000/2",
        "rtpmap:96 opus/0",
        "rtpmap:96 opus/48000/0",
        "rtpmap:96 opus/99999999999999999999999",
        "rtpmap:96 opus/48000/2/3",
        "rtpmap:x opus/48000",
        "rtpmap:",
        "fmtp:96",
        "fmtp:",
        "fmtp:( x",
        "ptime:0",
        "ptime:0.0",
        "ptime:-20",
        "ptime:1e9",
        "ptime:999999999999999999999",
        "ptime:twenty",
        "ptime:",
        "maxptime:4294967296",
        "rtcp:65536",
        "rtcp:53020 IN IP4",
        "rtcp:",
    ],
)
def test_bad_values_are_refused_with_400(attribute: str) -> None:
    """Fields of CVE-2018-1000098, CVE-2018-1000099 and CVE-2026-41416: formats, fmtp and packet times."""
    with pytest.raises(RemoteError) as caught:
        for read in (rtpmaps_of, fmtps_of, ptime_of, maxptime_of, rtcp_of):
            read(media(attribute))
    assert caught.value.status == 400


@given(st.sampled_from(["rtpmap", "fmtp", "ptime", "maxptime", "rtcp"]), st.text(max_size=60))
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    for read in (rtpmaps_of, fmtps_of, ptime_of, maxptime_of, rtcp_of):
        try:
            read(media(f"{name}:{value}"))
        except RemoteError as error:
            assert error.status == 400


def test_directions_are_seen_reversed_by_the_other_end() -> None:
    assert [d.reversed for d in Direction] == [
        Direction.SENDRECV,
        Direction.RECVONLY,
        Direction.SENDONLY,
        Direction.INACTIVE,
    ]
    assert all(Direction.of(d.sends, d.receives) is d for d in Direction)


def test_event_lists() -> None:
    assert event_codes("0-15,66,70") == {*range(16), 66, 70}
    assert event_codes("") == set(range(16))
    assert event_codes("events=0-3, 8") == {0, 1, 2, 3, 8}


@pytest.mark.parametrize("text", ["0-", "15-0", "0-256", "0-99999999999", "a", "0,,1", "-", "0-1-2", "٣"])
def test_bad_event_lists_are_refused_with_488(text: str) -> None:
    with pytest.raises(RemoteError) as caught:
        event_codes(text)
    assert caught.value.status == 488


def test_opus_parameters() -> None:
    text = (
        "maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; stereo=1; "
        "useinbandfec=1; usedtx=0"
    )
    assert opus_parameters(text) == OpusParameters(16000, 20000, stereo=True, inband_fec=True)
    assert opus_parameters("") == OpusParameters()
    assert opus_parameters("cbr=1;usedtx=1") == OpusParameters(constant_bitrate=True, dtx=True)


def test_opus_parameters_out_of_range_are_ignored() -> None:
    wild = "maxaveragebitrate=999999999999999;maxplaybackrate=1;stereo=yes;;=;minptime=10"
    assert opus_parameters(wild) == OpusParameters()


@given(st.text(max_size=200))
def test_any_opus_parameters_are_taken(text: str) -> None:
    assert 8_000 <= opus_parameters(text).max_playback_rate <= 48_000
