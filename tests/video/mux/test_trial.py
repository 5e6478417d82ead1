"""What the container rounds or does not store is known and named before the work, and never fails a result after it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dossr_video.errors import SettingsError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe

ONE = 1 << 16


def _clip(path: Path, *, matrix: list[int] | None = None, aspect: Fraction = Fraction(1), rate: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for n in range(6):
            picture = np.full((48, 64, 3), 40 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def _lost(source: Path, target: Path, **options: object) -> tuple[str, ...]:
    """Of a whole run, which must succeed; `analyse` names the same."""
    settings = Settings.of({"model": "bicubic", "scale": 2, **options})
    report = run_job(source, target, settings)
    assert report.lost == analyse(probe(source), settings, target=target.with_stem("other")).lost
    return report.lost


@pytest.mark.parametrize(
    ("matrix", "lost"),
    [
        ([0, ONE, 0, -ONE, 0, 0, 64 * ONE, 0, 1 << 30], False),  # as phones write it, moved back into sight
        ([-ONE, 0, 0, 0, ONE, 0, 64 * ONE, 0, 1 << 30], False),  # mirrored
        ([2 * ONE, 0, 0, 0, 2 * ONE, 0, 0, 0, 1 << 30], True),
    ],
    ids=["phone", "mirrored", "scaled"],
)
def test_a_display_matrix_is_kept_or_named(tmp_path, matrix, lost):
    source = _clip(tmp_path / "source.mp4", matrix=matrix)
    assert _lost(source, tmp_path / "result.mp4") == ()
    assert probe(tmp_path / "result.mp4").video.display_matrix == tuple(matrix)
    named = _lost(source, tmp_path / "result.mkv")
    assert [line.split(":")[0] for line in named] == ["display matrix (2.0, 0.0, 0.0, 2.0)"] * lost
    if lost:
        with pytest.raises(SettingsError, match="--strict: display matrix"):
            analyse(probe(source), Settings.of({"strict": True}), target=tmp_path / "other.mkv")


@pytest.mark.parametrize(
    ("aspect", "options", "lost"),
    [
        ("4096/4095", {"encoder": "ffv1"}, ""),
        ("4096/4095", {}, ""),
        ("1/1000", {}, ""),
        ("1", {"encoder": "ffv1", "width": 200, "height": 96}, "pixel aspect 16:25"),
    ],
)
def test_a_pixel_aspect_that_matroska_rounds_is_rounded_or_named(tmp_path, aspect, options, lost):
    source = _clip(tmp_path / "source.mp4", aspect=Fraction(aspect))
    named = _lost(source, tmp_path / "result.mkv", **options)
    assert [line.split(": ")[0] for line in named] == [lost] * bool(lost)


def test_frames_too_close_for_milliseconds_are_refused_before_the_work(tmp_path):
    source = _clip(tmp_path / "source.mp4", rate=2000)
    with pytest.raises(SettingsError, match="too coarse for 2000 frames/s"):
        analyse(probe(source), Settings.of({}), target=tmp_path / "result.mkv")
    assert _lost(source, tmp_path / "result.mp4") == ()
