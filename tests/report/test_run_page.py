from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import DossrError, SettingsError, TargetError

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
    assert text.count('class="still"') == 6
    assert "failed" not in text.split("<script>")[0].split("</style>")[1]


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
