"""What others send or leave on the disk as sound never raises anything but what it says."""

import struct
from io import BytesIO

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.base.errors import LocalError, RemoteError
from segue.devices.wav_source import WavSource
from segue.media.codecs import codec_for
from segue.media.jitter_buffer import CAPACITY
from segue.media.playout import Playout

chunk = st.builds(
    lambda kind, length, content: kind + struct.pack("<I", length) + content,
    st.sampled_from([b"fmt ", b"data", b"LIST", b"\0\0\0\0"]),
    st.one_of(st.integers(0, 64), st.integers(0, 0xFFFF_FFFF)),
    st.one_of(
        st.binary(max_size=48),
        st.builds(
            lambda kind, channels, rate, bits: struct.pack("<HHIIHH", kind, channels, rate, 0, 0, bits),
            st.sampled_from([1, 1, 1, 7, 0xFFFE]),
            st.integers(0, 40),
            st.sampled_from([8000, 11025, 44100, 4001, 0, 0xFFFF_FFFF]),
            st.sampled_from([16, 16, 16, 8, 0]),
        ),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(chunk, max_size=5), st.booleans())
def test_any_wav_file(chunks: list[bytes], loop: bool) -> None:
    try:
        source = WavSource(BytesIO(b"RIFF\0\0\0\0WAVE" + b"".join(chunks)), "x.wav", 8000, loop)
    except LocalError as error:
        assert "\n" not in str(error) and error.remedy
        return
    for _ in range(20):
        assert len(source.read().samples) == 160
    source.close()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_payload(payload: bytes) -> None:
    for name in ("PCMU", "PCMA", "G722", "opus"):
        codec = codec_for(name)
        assert codec.ticks(payload) >= 0
        try:
            assert codec.decode(payload).dtype == np.int16
            recovered = codec.recover(codec.frame_samples, payload)
        except RemoteError:
            continue
        assert recovered is None or len(recovered) == codec.frame_samples


packet = st.tuples(
    st.sampled_from([0, 0, 0, 9, 96, 13]),  # payload types; 13 was not agreed
    st.one_of(st.integers(0, 60), st.integers(0, 0xFFFF)),  # sequence number
    st.one_of(st.integers(0, 60).map(lambda n: n * 160), st.integers(0, 0xFFFF_FFFF)),  # timestamp
    st.one_of(st.just(bytes(160)), st.binary(max_size=40), st.just(bytes(2000))),
    st.floats(0.0, 0.06),  # seconds since the one before
    st.integers(0, 2),  # source
)


@settings(max_examples=150, deadline=None)
@given(st.lists(packet, max_size=60))
def test_any_packets_in_any_order_give_a_frame_each_tick(
    packets: list[tuple[int, int, int, bytes, float, int]],
) -> None:
    playout = Playout({0: codec_for("PCMU"), 9: codec_for("G722"), 96: codec_for("opus")}, rate=16000)
    playout.buffer.patience = 0.1
    now, tick = 0.0, 0.0
    for payload_type, sequence, timestamp, payload, later, source in packets:
        now += later
        while tick <= now:
            assert len(playout.get(tick).samples) == 320
            tick += 0.020
        playout.put(payload_type, sequence, timestamp, payload, now, source)
        assert len(playout.buffer) <= CAPACITY
