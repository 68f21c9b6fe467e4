import pytest

from segue.base.errors import LocalError
from segue.media.quality import IMPAIRMENTS, delay_impairment, mos, quality


def test_mos_of_g107_annex_b() -> None:
    """Table B.1 of G.107: R 90, 80, 70, 60, 50 are MOS 4.34, 4.03 (4.02), 3.60, 3.10, 2.58."""
    assert [round(mos(r), 2) for r in (90, 80, 70, 60, 50)] == [4.34, 4.02, 3.6, 3.1, 2.58]
    assert (mos(-5), mos(0), mos(100), mos(130)) == (1.0, 1.0, 4.5, 4.5)
    assert mos(2) >= 1.0


def test_the_best_narrowband_call() -> None:
    best = quality("PCMU", 0.0, 0.0)
    assert (best.r, round(best.mos, 2), best.scale) == (93.2, 4.41, "narrowband")


def test_delay_costs_little_until_177_ms_and_much_after() -> None:
    assert delay_impairment(100.0) == pytest.approx(2.4)
    assert delay_impairment(177.3) == pytest.approx(4.26, abs=0.01)
    assert delay_impairment(277.3) - delay_impairment(177.3) == pytest.approx(13.4)
    assert delay_impairment(-5.0) == 0.0


def test_loss_of_g711_with_concealment() -> None:
    """G.107 section 3.5 with Bpl 25.1: 5 % of random loss costs 95 * 5 / (5 + 25.1)."""
    assert 93.2 - quality("PCMA", 0.0, 0.05).r == pytest.approx(15.78, abs=0.01)
    without = quality("PCMA without concealment", 0.0, 0.05)
    assert 93.2 - without.r == pytest.approx(51.08, abs=0.01)


def test_bursts_of_g107() -> None:
    """Section 3.5: Ppl / (Ppl / BurstR + Bpl)."""
    burst = quality("PCMU", 0.0, 0.05, burst_ratio=2.0)
    assert 93.2 - burst.r == pytest.approx(95 * 5 / (5 / 2 + 25.1), abs=0.01)


@pytest.mark.parametrize("codec", IMPAIRMENTS)
def test_more_loss_more_delay_and_bursts_never_help(codec: str) -> None:
    steps = [quality(codec, 100.0, loss / 100).mos for loss in range(0, 101, 5)]
    assert steps == sorted(steps, reverse=True)
    assert quality(codec, 400.0, 0.02).mos < quality(codec, 100.0, 0.02).mos
    assert quality(codec, 100.0, 0.05, burst_ratio=2.0).mos <= quality(codec, 100.0, 0.05).mos
    assert 1.0 <= steps[-1] <= steps[0] <= 4.5


def test_an_unknown_codec_is_told_what_there_is() -> None:
    with pytest.raises(LocalError, match="no quality table for 'GSM': use one of PCMU"):
        quality("GSM", 0.0, 0.0)
