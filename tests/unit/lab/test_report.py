"""The report from a folder of invented data: what a reader sees, and that nothing is invented beyond it."""

from __future__ import annotations

import io
import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from segue.base.errors import LocalError
from segue.lab.report.folder import read_run
from segue.lab.report.moves import physics_ms
from segue.lab.report.page import print_table, write_report
from segue.lab.report.tables import command_line

write_sample = runpy.run_path(str(Path(__file__).with_name("sample_run.py")))["write_sample"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = write_sample(tmp_path_factory.mktemp("run") / "walk")
    return folder


@pytest.fixture(scope="module")
def page(sample: Path) -> str:
    return write_report(sample).read_text()


def edited(sample: Path, folder: Path, **changes: Any) -> Path:
    """A folder with nothing but a changed result.json."""
    result = json.loads((sample / "result.json").read_text()) | changes
    (folder / "result.json").write_text(json.dumps(result))
    return folder


class _Tags(HTMLParser):
    """Elements that are open, and addresses that a browser would load."""

    VOID = ("meta", "br", "img", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "data") or (tag == "link")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closed already."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.loaded) == 2 and all(
        source.startswith("data:audio/wav;base64,") for source in tags.loaded
    )
    assert "@import" not in page and "url(" not in page and "fetch(" not in page


def words(page: str) -> str:
    """What a reader sees, in one line."""
    without = re.sub(r"<(style|script).*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", without))


def test_headlines_and_tables(page: str) -> None:
    text = words(page)
    for shown in (
        "Longest gap downlink 189 ms", "Lost packets 2 !", "Clear packets 0 ✓", "0 ✓ of 941 tried",
        "Move 1: office → umts", "Move 2: umts → cafe", "replay 0 of 300 300 of 300 ✓ repelled",
        "link 50.0", "address 21.0", "First media", "mode migrate", "mn ))) office", "mn-wlan0.pcapng",
    ):  # fmt: skip
        assert shown in text
    assert "Missing in the folder" not in text


def test_what_is_drawn(sample: Path, page: str) -> None:
    run = read_run(sample)
    wide = page.count('<div class="wide">')
    assert wide == page.count('<div class="narrow">') >= 6
    lost = sum(packet.lost for packet in run.series["downlink"])
    crosses = page.count('<path class="lost"')
    assert lost == 2 and crosses == 4 * lost  # in the walk and the first move, each wide and narrow
    assert "INVITE + SDP" in page and "401 Unauthorized (REGISTER)" in page and "begins to move: hard" in page


def test_moves_lie_where_the_log_of_the_links_has_them(sample: Path) -> None:
    run = read_run(sample)
    hard, soft = run.moments
    assert hard.end - hard.begin == pytest.approx(0.05, abs=1e-6)
    assert soft.end - soft.begin == pytest.approx(2.0, abs=1e-6)
    assert hard.begin - run.zero == pytest.approx(hard.record["at_s"], abs=0.01)
    assert run.network_of("mn wlan0", hard.begin - 1) == "office"
    assert run.network_of("mn wlan0", soft.begin + 1) == "cafe"


def test_what_physics_asks_for() -> None:
    one_way = {"owd_old_ms": 20.0, "owd_new_ms": 55.0}
    move = {"kind": "hard", "phase_ms": {"link": 50.0, "address": 21.0}, "direct_rtt_ms": 110.0}
    move |= {"uplink": one_way, "downlink": one_way}
    assert (physics_ms(move, "uplink"), physics_ms(move, "downlink")) == (106.0, 181.0)
    other_end = move | {"mover": "cn"}
    assert (physics_ms(other_end, "uplink"), physics_ms(other_end, "downlink")) == (181.0, 106.0)
    assert physics_ms(move | {"kind": "soft"}, "downlink") == 35.0
    assert physics_ms(move | {"phase_ms": {"link": 50.0, "address": None}}, "uplink") is None


def test_what_is_missing_is_said(sample: Path, tmp_path: Path) -> None:
    text = words(write_report(edited(sample, tmp_path)).read_text())
    for name in (
        "phones/mn.jsonl",
        "links.jsonl",
        "signals.jsonl",
        "series.json",
        "mn.wav",
        "cn.wav",
        "captures",
    ):
        assert name in text
    assert "No packet series" in text and "cn.wav is missing" in text and "The phones left no events" in text


def test_a_result_with_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    text = words(write_report(tmp_path).read_text())
    assert "Lost packets – not measured" in text and "no attack was run" in text
    print_table({}, Console(file=io.StringIO()))


@pytest.mark.parametrize("content", [None, "[]", "{", "\xff"])
def test_no_result_is_the_user_s_to_put_right(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(LocalError):
        write_report(tmp_path)


def test_broken_lines_are_counted_and_left_out(sample: Path, tmp_path: Path) -> None:
    folder = edited(sample, tmp_path)
    (folder / "links.jsonl").write_bytes(
        (sample / "links.jsonl").read_bytes() + b'{"event": "att\n\xff\xfe\n'
    )
    run = read_run(folder)
    assert len(run.attachments) == 4
    assert "links.jsonl: 2 lines could not be read" in run.missing


def test_words_from_the_run_stay_words(sample: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    moves = [{"from": evil, "to": evil, "kind": evil, "role": evil, "at_s": 3}]
    folder = edited(
        sample, tmp_path, scenario=evil, suite=evil, topology=evil, moves=moves, options={evil: evil}
    )
    (folder / "attacks.jsonl").write_text(json.dumps({"time": 1, "kind": evil, evil: evil}) + "\n")
    (folder / "links.jsonl").write_text(
        json.dumps({"event": "attached", "station": f"mn-{evil}", "network": evil, "wall": 1.0}) + "\n"
    )
    (folder / "series.json").write_text(
        json.dumps({"uplink": [[1, 20, "mn wlan0", 1], [9, 20, "mn wlan0", 2]]})
    )
    assert "<script>alert" not in write_report(folder).read_text()


def test_an_attack_whose_control_failed_proves_nothing(sample: Path, tmp_path: Path) -> None:
    attacks = [
        {"kind": "a", "tried": 9, "accepted": 0, "control_tried": 9, "control_accepted": 0},
        {"kind": "b", "tried": 9, "accepted": 1, "control_tried": 9, "control_accepted": 9},
    ]
    text = words(write_report(edited(sample, tmp_path, security={"attacks": attacks})).read_text())
    assert "0 of 9 0 of 9 ! control failed: proves nothing" in text
    assert "1 of 9 9 of 9 ! got through" in text
    assert "✓ repelled" not in text


def test_links_that_were_too_far_off_void_the_run(sample: Path, tmp_path: Path) -> None:
    links = [{"name": "umts", "one_way_delay_ms": 40, "p99_error_ms": 2.4}]
    folder = edited(sample, tmp_path, links=links)
    assert "Void. The delay of umts" in words(write_report(folder).read_text()).replace(" .", ".")
    assert "void: the delay of link umts" in terminal(json.loads((folder / "result.json").read_text()))


def test_large_recordings_are_linked(sample: Path, tmp_path: Path) -> None:
    folder = edited(sample, tmp_path)
    content = (sample / "mn.wav").read_bytes()
    (folder / "mn.wav").write_bytes(content + bytes(4_000_000))
    page = write_report(folder).read_text()
    assert '<a href="mn.wav">' in page and "data:audio" not in page


def test_numbers_that_never_got_onto_a_wire_are_lost(sample: Path, tmp_path: Path) -> None:
    folder = edited(sample, tmp_path)
    rows = [[10.0, 20, "cn wlan0", 7, "mn wlan0"], [10.1, 20, "cn wlan0", 12, "mn wwan0"]]
    (folder / "series.json").write_text(json.dumps({"uplink": rows}))
    packets = read_run(folder).series["uplink"]
    assert [p.sequence for p in packets if p.lost] == [8, 9, 10, 11]
    assert [p.place for p in packets if not p.lost] == ["mn wlan0", "mn wwan0"]


def terminal(result: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_table(result, console)
    shown = console.file
    assert isinstance(shown, io.StringIO)
    return shown.getvalue()


def test_the_table_fits_a_terminal(sample: Path) -> None:
    lines = terminal(json.loads((sample / "result.json").read_text())).splitlines()
    row = next(line for line in lines if "office → umts" in line)
    assert re.sub(r" +", " ", row).strip() == "1 office → umts hard 50+21+101 109 (106) 189 (181) 0/2 0/40"
    assert max(len(line) for line in lines if "again:" not in line) <= 80
    assert not any("…" in line for line in lines)


def test_the_command_that_does_it_again() -> None:
    options = {"scenario": "walk", "mode": "soft", "seed": 3, "break": "address"}
    assert (
        command_line({"options": options})
        == "segue lab run walk --mode soft --break address --seed 3 --report DIR"
    )
    of_another_version = {
        "scenario": "walk",
        "seed": 3,
        "options": {"mode": "leap", "quiet": True, "into": "a b"},
    }
    assert command_line(of_another_version) == (
        "segue lab run walk --mode leap --quiet --into 'a b' --seed 3 --report DIR"
    )
