"""When a link is bad enough for duplicates, and when it is good again."""

from itertools import pairwise

from segue.mobility.link_quality import LinkQuality


def watch(quality: LinkQuality, begin: float, losses: list[int], of: int = 25) -> list[bool]:
    """Half a second at a time: so many of `of` packets were lost."""
    answers = []
    for index, lost in enumerate(losses):
        quality.seen(of, lost, begin + 0.5 * index)
        answers.append(quality.is_bad)
    return answers


def test_a_clean_link_is_never_bad_and_a_single_loss_is_not_enough() -> None:
    assert not any(watch(LinkQuality(), 0.0, [0] * 20 + [1] + [0] * 20))


def test_losses_in_a_row_begin_within_a_second_and_end_only_after_calm() -> None:
    quality = LinkQuality()
    answers = watch(quality, 0.0, [0] * 8 + [3, 3, 0] + [0] * 30)
    begun = answers.index(True)
    assert begun in (8, 9)
    ended = answers.index(False, begun)
    # The losses leave the window after 4 s, and everybody is content for 5 s more.
    assert 9.0 <= 0.5 * (ended - begun) <= 10.0
    assert not any(answers[ended:])


def test_losses_that_come_and_go_make_one_stretch_of_duplicates() -> None:
    answers = watch(LinkQuality(), 0.0, ([2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) * 6)
    changes = sum(a != b for a, b in pairwise(answers))
    assert changes == 1


def test_few_packets_prove_nothing() -> None:
    quality = LinkQuality()
    quality.seen(2, 2, 0.0)
    assert not quality.is_bad


def test_the_peers_reports_count_until_they_are_stale() -> None:
    quality = LinkQuality()
    quality.reported(0.05, 0.0)
    assert quality.is_bad
    now, looks = 0.0, 0
    while (due := quality.deadline()) is not None:
        now, looks = due, looks + 1
        quality.expire(now)
    assert not quality.is_bad
    assert 15.0 <= now <= 21.0 and looks < 10, "without another report it ends by itself, and soon"


def test_a_weak_signal_is_enough_and_the_space_between_the_thresholds_changes_nothing() -> None:
    quality = LinkQuality()
    quality.signal(-72.0, 0.0)
    assert not quality.is_bad
    quality.signal(-74.0, 1.0)
    assert quality.is_bad
    quality.signal(-72.0, 2.0)
    quality.expire(100.0)
    assert quality.is_bad
    quality.signal(-60.0, 101.0)
    quality.expire(105.9)
    assert quality.is_bad
    quality.expire(106.0)
    assert not quality.is_bad


def test_another_path_begins_with_a_clean_slate() -> None:
    quality = LinkQuality()
    quality.reported(0.2, 0.0)
    quality.signal(-80.0, 0.0)
    quality.changed_path()
    assert not quality.is_bad and quality.deadline() is None
    quality.expire(2.0)
    assert not quality.is_bad
