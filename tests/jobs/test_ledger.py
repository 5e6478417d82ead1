from __future__ import annotations

from pathlib import Path

import pytest

from dossr_video.jobs.ledger import Ledger
from dossr_video.segments import SegmentResult


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl", tmp_path)


def finish(ledger: Ledger, index: int) -> SegmentResult:
    result = SegmentResult(index, frames=10, first_pts=100 * index, computed=12, seconds=0.5, warnings=("odd",))
    file = file_of(ledger, index)
    file.write_bytes(b"x" * (index + 1))
    ledger.record(result, file, f"key {index}")
    return result


def file_of(ledger: Ledger, index: int) -> Path:
    return ledger._segments / f"{index}.mp4"


def test_nothing_is_finished_before_the_first_line(ledger: Ledger) -> None:
    assert ledger.finished() == {}


def test_gives_back_what_was_recorded(ledger: Ledger) -> None:
    results = [finish(ledger, i) for i in (2, 0)]
    assert ledger.finished() == {r.index: r for r in results}


def test_every_torn_end_of_the_last_line_is_ignored_and_overcome(ledger: Ledger, tmp_path: Path) -> None:
    first = finish(ledger, 0)
    path = tmp_path / "ledger.jsonl"
    before = path.stat().st_size
    second = finish(ledger, 1)
    whole = path.read_bytes()
    for end in range(before, len(whole) - 2):  # the last byte is a newline, the one before it the closing bracket
        path.write_bytes(whole[:end])
        assert ledger.finished() == {0: first}, whole[:end]
        ledger.record(second, file_of(ledger, 1), "key 1")
        assert ledger.finished() == {0: first, 1: second}


def test_a_line_of_rubbish_costs_only_itself(ledger: Ledger, tmp_path: Path) -> None:
    first = finish(ledger, 0)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(b'\x00\x00\xff\n[1]\n"text"\n{"result": {}, "bytes": 1}\n')
    second = finish(ledger, 1)
    assert ledger.finished() == {0: first, 1: second}


@pytest.mark.parametrize("content", [None, b"", b"xyz"])
def test_a_segment_counts_only_with_its_file_in_full(ledger: Ledger, content: bytes | None) -> None:
    finish(ledger, 1)
    if content is None:
        file_of(ledger, 1).unlink()
    else:
        file_of(ledger, 1).write_bytes(content)
    assert ledger.finished() == {}


def test_a_segment_that_is_not_what_was_written_is_named(ledger: Ledger) -> None:
    keys = {index: f"key {index}" for index in range(5)}
    good = finish(ledger, 4)
    for index in range(4):
        finish(ledger, index)
    file_of(ledger, 0).write_bytes(b"y")
    file_of(ledger, 1).unlink()
    file_of(ledger, 2).unlink()
    file_of(ledger, 2).mkdir()
    results, wrong = ledger.checked({**keys, 3: "another key"})
    assert results == {4: good}
    found = ["is not what was written", "is missing", "cannot be read", "belongs to another plan"]
    for index, (line, what) in enumerate(zip(wrong, found, strict=True)):
        assert line.startswith(f"the finished segment {index} {what}")
        assert line.endswith("; it is computed again")


def test_a_segment_that_is_not_in_the_plan_is_named(ledger: Ledger) -> None:
    finish(ledger, 7)
    assert ledger.checked({0: "key 0"})[1] == ["the finished segment 7 belongs to another plan; it is computed again"]


def test_a_flipped_bit_anywhere_in_the_ledger_costs_only_its_line(ledger: Ledger, tmp_path: Path) -> None:
    first, path = finish(ledger, 0), tmp_path / "ledger.jsonl"
    start = path.stat().st_size
    finish(ledger, 1)
    whole = path.read_bytes()
    for place in range(start + 1, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert ledger.checked({0: "key 0", 1: "key 1"}) == ({0: first}, [])
