import subprocess
import sys

import pytest

from segue.base.errors import LocalError
from segue.media.codecs import DESCRIPTIONS, codec_for, describe


def test_names_in_any_case_and_their_rtpmap() -> None:
    assert describe("pcma").rtpmap == "PCMA/8000"
    assert describe("g722").rtpmap == "G722/8000"  # RFC 3551 section 4.5.2
    assert describe("Opus").rtpmap == "opus/48000/2"  # RFC 7587 section 7
    assert [describe(name).payload_type for name in ("PCMU", "PCMA", "G722", "opus")] == [0, 8, 9, None]


def test_codecs_are_as_their_descriptions_say() -> None:
    for name, description in DESCRIPTIONS.items():
        codec = codec_for(name)
        assert (codec.name, codec.clock_rate, codec.frame_ticks) == (
            description.name, description.clock_rate, description.frame_ticks,
        )  # fmt: skip
        assert codec.frame_samples * 50 == codec.sample_rate


def test_what_we_do_not_have() -> None:
    with pytest.raises(LocalError, match=r"no codec 'GSM'.*PCMU"):
        codec_for("GSM")
    with pytest.raises(LocalError, match="16000"):
        codec_for("PCMU", 16000)


def test_the_registry_alone_loads_no_numpy() -> None:
    """Negotiation needs names only; the signalling process should stay small."""
    code = "import sys, segue.media.codecs; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
