from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from dossr_video.cli.commands import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["dossr-video", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def library(tmp_path: Path, sample: Path) -> Path:
    folder = tmp_path / "tapes"
    (folder / "1985").mkdir(parents=True)
    (folder / "good.mp4").write_bytes(sample.read_bytes())
    (folder / "1985" / "deep.mov").write_bytes(sample.read_bytes())
    (folder / "bad.avi").write_text("no video")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_bad_file_does_not_stop_the_rest(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [library, tmp_path / "out", "--recursive", "--model", "bicubic", "--duration", "0.2"]
    assert run(monkeypatch, "batch", *options) == 1
    shown = capsys.readouterr().err
    assert "2 done, 1 failed" in shown
    page = tmp_path / "out" / "dossr-video.html"
    assert f"page of all: {page}" in shown
    [took] = re.findall(r"good\.mp4: \d+ frames in (\d:\d\d:\d\d)", shown)
    assert took in page.read_text()
    assert "bad.avi is not a video" in shown
    assert (tmp_path / "out" / "good.mp4").exists()
    assert (tmp_path / "out" / "1985" / "deep.mov").exists()

    assert run(monkeypatch, "batch", *options, "--exclude", "bad*") == 0
    assert "2 unchanged" in capsys.readouterr().err

    assert run(monkeypatch, "status", tmp_path / "out") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 in work, 2 done, 1 failed"


def test_the_estimate_writes_nothing(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [library, tmp_path / "out", "--recursive", "--model", "bicubic"]
    assert run(monkeypatch, "batch", *options, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("2 files, 100 frames: about ")
    assert "would fail" in shown
    assert not (tmp_path / "out").exists()


def test_a_library_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "batch", tmp_path / "no", tmp_path / "out") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_shots_of_the_sample(sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "shots", sample) == 0
    assert capsys.readouterr().out == "0\t22\t0.000\n22\t50\t0.880\n"


def test_convert_refuses_what_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dossr_default.ckpt"
    path.write_bytes(b"nothing of the kind")
    assert run(monkeypatch, "convert", path, tmp_path / "out") == 1
    assert str(path) in capsys.readouterr().err.splitlines()[0]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
