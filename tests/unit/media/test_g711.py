"""G.711 against the values of ITU-T G.711, tables 1a to 2b."""

import numpy as np
import pytest

from segue.media.codecs import codec_for
from segue.media.codecs.g711 import a_law_tables, mu_law_tables

# Code on the line and the uniform value of table 2a (14 bits, so four times that in 16), both ends of segments.
MU_LAW = {
    0b10000000: 8031, 0b10001111: 4191, 0b10010000: 3999, 0b10011111: 2079, 0b10100000: 1983,
    0b10101111: 1023, 0b10110000: 975, 0b10111111: 495, 0b11000000: 471, 0b11001111: 231,
    0b11010000: 219, 0b11011111: 99, 0b11100000: 93, 0b11101111: 33, 0b11110000: 30,
    0b11111110: 2, 0b11111111: 0,
}  # fmt: skip
# Table 1a (13 bits, so eight times that in 16), before the even bits are inverted.
A_LAW = {
    0b11111111: 4032, 0b11110000: 2112, 0b11101111: 2016, 0b11100000: 1056, 0b11011111: 1008,
    0b11010000: 528, 0b11001111: 504, 0b11000000: 264, 0b10111111: 252, 0b10110000: 132,
    0b10101111: 126, 0b10100000: 66, 0b10011111: 63, 0b10000001: 3, 0b10000000: 1,
}  # fmt: skip


def decode(name: str, codes: list[int]) -> list[int]:
    samples: list[int] = codec_for(name).decode(bytes(codes)).tolist()
    return samples


def encode(name: str, samples: list[int]) -> list[int]:
    return list(codec_for(name).encode(np.array(samples, dtype=np.int16)))


def test_mu_law_decodes_as_table_2_says() -> None:
    codes = list(MU_LAW)
    assert decode("PCMU", codes) == [4 * value for value in MU_LAW.values()]
    assert decode("PCMU", [code & 0x7F for code in codes]) == [-4 * value for value in MU_LAW.values()]


def test_a_law_decodes_as_table_1_says() -> None:
    codes = [code ^ 0x55 for code in A_LAW]
    assert decode("PCMA", codes) == [8 * value for value in A_LAW.values()]
    assert decode("PCMA", [code ^ 0x80 for code in codes]) == [-8 * value for value in A_LAW.values()]


def test_decision_values_of_mu_law() -> None:
    """Table 2a: x from 4063 to 8159 belongs to the highest segment; 0 to 1 is silence."""
    assert encode("PCMU", [32767, 8159 * 4, 4063 * 4, 4062 * 4, 31 * 4, 30 * 4]) == [
        0x80, 0x80, 0x8F, 0x90, 0xEF, 0xF0,
    ]  # fmt: skip
    assert encode("PCMU", [0, -1, 4, -8]) == [0xFF, 0x7F, 0xFE, 0x7E]
    assert encode("PCMU", [-32768]) == [0x00]


def test_decision_values_of_a_law() -> None:
    """Table 1a: x from 2048 to 4096 belongs to the highest segment."""
    assert encode("PCMA", [32767, 2048 * 8, 2047 * 8, 0, -1, -32768]) == [0xAA, 0xA5, 0xBA, 0xD5, 0x55, 0x2A]


@pytest.mark.parametrize("tables", [mu_law_tables(), a_law_tables()], ids=["mu-law", "A-law"])
def test_every_sample_gets_the_nearest_code(tables: tuple[np.ndarray, np.ndarray]) -> None:
    """Within its segment; between two, the decision value is the lower one's border, not the middle."""
    encoding, decoding = tables
    samples = np.arange(-32768, 32768)
    chosen = decoding[encoding.take(samples.astype(np.int16).view(np.uint16))].astype(int)
    error = np.abs(samples - chosen)
    assert (error <= np.maximum(16, np.abs(samples) / 31 + 16)).all()  # half a step of 16 in a segment
    assert (np.diff(chosen) >= 0).all()


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
def test_round_trip_keeps_the_codes(name: str) -> None:
    """What was coded once is not spoilt by coding it again: tandems of gateways add nothing."""
    codec = codec_for(name)
    codes = bytes(code for code in range(256) if (name, code) != ("PCMU", 0x7F))  # minus zero becomes zero
    assert codec.encode(codec.decode(codes)) == codes


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
def test_signal_to_noise_ratio(name: str) -> None:
    """G.712 asks for 33 dB from -30 dBm0 up; a sine gives some 37 dB."""
    codec = codec_for(name)
    for amplitude in (30000, 3000, 1000):
        wave = (amplitude * np.sin(2 * np.pi * 1020 / 8000 * np.arange(8000))).astype(np.int16)
        noise = codec.decode(codec.encode(wave)).astype(float) - wave
        assert 10 * np.log10((wave.astype(float) ** 2).sum() / (noise**2).sum()) > 33


def test_length_tells_the_duration() -> None:
    codec = codec_for("PCMA")
    assert codec.ticks(bytes(240)) == 240
    assert codec.ticks(b"") == 0
    assert len(codec.decode(b"")) == 0
