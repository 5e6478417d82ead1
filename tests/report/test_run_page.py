from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import DossrError, SettingsError, TargetError
from dossr_video.jobs.record import FiguresRecord
from dossr_video.jobs.run import run_job
from dossr_video.report.measure import measure
from dossr_video.settings import Settings
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import open_reader

OPTIONS = ["--model", "bicubic", "--scale", "2", "--speed", "ultrafast", "--quiet"]


def upscale(*arguments: str | Path) -> None:
    CliRunner().invoke(app, [*map(str, arguments), *OPTIONS], standalone_mode=False, catch_exceptions=False)


def test_a_run_leaves_its_page(clip: Path, tmp_path: Path) -> None:
    target, page = tmp_path / "out.mkv", tmp_path / "out.html"
    upscale(clip, target, "--report", page, "--start", "0.3")
    text = page.read_text()
    for told in (
        " checks passed",
        "timestamps exact to the millisecond",
        "libx264",
        "bicubic",
        "time upscaling",
        hashlib.sha256(clip.read_bytes()).hexdigest(),
        hashlib.sha256(target.read_bytes()).hexdigest(),
    ):
        assert told in text
    tables = re.sub(r"<style.*?</style>|<[^>]+>", " ", text.split("<script>")[0], flags=re.DOTALL)
    assert not re.search(r"\b(none|None|True|False|choice|\[\])", tables)
    assert "Matroska / WebM (matroska)" in tables
    assert text.count('class="still"') == 6
    assert "failed" not in text.split("<script>")[0].split("</style>")[1]


@pytest.mark.parametrize("options", [{}, {"start": 0.3, "duration": 1.0}])
def test_what_the_proof_measures_is_what_both_files_show(
    options: dict[str, float], clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    record = FiguresRecord()
    target = tmp_path / "out.mkv"
    report = run_job(clip, target, tiny.model_copy(update=options), record=record)
    with open_reader(clip, report.settings.read) as source, PyavReader(target) as result:
        wanted = measure(source, [result], start=report.settings.read.start)
    found = record.measured
    assert found is not None
    if options:  # by the plan, which ends earlier than the file
        assert len(found.seconds) == report.frames
    assert found.shots[:-1] == wanted.shots[: len(found.shots) - 1]
    count = min(report.frames, found.shots[-1].start)
    assert found.seconds[:count] == pytest.approx(wanted.seconds[:count])
    for one, other in zip(found.tracks, wanted.tracks, strict=True):
        for name in ("pts", "brightness", "sharpness", "flicker", "change", "difference"):
            np.testing.assert_array_equal(getattr(one, name)[:count], getattr(other, name)[:count])


def test_the_page_of_a_run_reads_no_file_whole_again(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("dossr_video.report.page.measure")
    upscale(clip, tmp_path / "out.mkv", "--report", tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text().count('class="plot"') == 4


def test_what_would_leave_no_page_is_refused_before_the_run(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine")
    refused: list[tuple[type[DossrError], str | Path, str | Path]] = [
        (TargetError, tmp_path / "out.mkv", tmp_path / "mine.html"),
        (TargetError, tmp_path / "out.mkv", tmp_path / "none" / "page.html"),
        (SettingsError, "memory://out.mkv", tmp_path / "page.html"),
    ]
    for error, target, page in refused:
        with pytest.raises(error):
            upscale(clip, target, "--report", page)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]
    assert (tmp_path / "mine.html").read_text() == "mine"
