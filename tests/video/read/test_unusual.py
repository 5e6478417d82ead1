"""Files that other tools stumble over: unused sound channels, palettes, single bits, floating point, a still first."""

from __future__ import annotations

import numpy as np
import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader

MOVING = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=0.2"]


@pytest.mark.parametrize("layout", ["6.1", "7.1"])
@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".mp4"])
def test_sound_with_unused_channels_is_copied_or_named(media, tmp_path, tiny, layout, suffix):
    """The library that decodes it would corrupt the heap and abort the process."""
    count = sum(map(int, layout.split(".")))
    pan = f"pan={layout}|" + "|".join(f"c{i}=c0" for i in range(count))
    source = tmp_path / "unused.mov"
    tone = ["-f", "lavfi", "-i", "sine=duration=0.2"]
    media.ffmpeg(*MOVING, *tone, "-af", pan, "-c:v", "libx264", "-c:a", "pcm_s16le", source)
    for _ in range(20):
        assert probe(source).streams[0].channels == count
    report = run_job(source, tmp_path / f"result{suffix}", tiny)
    assert report.frames == 5
    lost = [line for line in report.lost if "audio" in line]
    assert len(lost) == (suffix == ".mp4" and not probe(source).streams[0].decodable)


@pytest.mark.parametrize("pix_fmt", ["pal8", "monob", "rgb24", "rgba64be", "gray16be", "ya8"])
def test_pictures_of_few_or_many_bits_are_done(media, tmp_path, tiny, pix_fmt):
    source = tmp_path / "picture.mov"
    graph = "[0]split[a][b];[a]palettegen[p];[b][p]paletteuse" if pix_fmt == "pal8" else "[0]null"
    media.ffmpeg(*MOVING, "-filter_complex", graph, "-c:v", "png", "-pix_fmt", pix_fmt, source)
    report = run_job(source, tmp_path / "result.mkv", tiny)
    assert report.frames == 5
    with PyavReader(source) as before, PyavReader(tmp_path / "result.mkv") as after:
        first, last = (next(reader.frames()).small((8, 6)).astype(int) for reader in (before, after))
    assert abs(first - last).max() < 12


@pytest.mark.parametrize(
    ("name", "options", "range_"),
    [
        ("grey.avi", "-c:v rawvideo -pix_fmt gray", "pc"),
        ("ffv1.avi", "-c:v ffv1 -pix_fmt gray", "pc"),  # AVI tells no range
        ("deep.avi", "-c:v ffv1 -pix_fmt gray16le", "pc"),
        ("grey.y4m", "-pix_fmt gray", "pc"),
        ("told.mkv", "-c:v libx265 -x265-params lossless=1 -bsf:v hevc_metadata=video_full_range_flag=0", "tv"),
    ],
)
def test_grey_without_a_range_is_full(media, tmp_path, tiny, name, options, range_):
    """A ramp from 0 to 254, which limited range would clip at both ends."""
    source = tmp_path / name
    ramp = "color=black:s=128x32,format=gray,geq=lum=2*X"
    media.ffmpeg("-f", "lavfi", "-i", ramp, "-frames:v", 2, *options.split(), source)
    assert probe(source).video.resolved_color.range == range_
    with PyavReader(source) as reader:
        shown = 255 * next(reader.frames()).rgb()[1, 16].numpy()
    wanted = np.arange(128) * 2.0
    if range_ == "tv":
        wanted = ((wanted - 16) * 255 / 219).clip(0, 255)
    assert shown == pytest.approx(wanted, abs=0.6)
    run_job(source, tmp_path / "result.mkv", tiny)
    with PyavReader(tmp_path / "result.mkv") as reader:
        result = 255 * next(reader.frames()).rgb()[1, 32, ::2].numpy()
    assert result == pytest.approx(wanted, abs=8)


def test_floating_point_is_refused_before_the_work_where_it_is_not_read(media, tmp_path):
    media.ffmpeg(*MOVING, "-c:v", "exr", "-pix_fmt", "gbrpf32le", tmp_path / "light.mkv")
    assert probe(tmp_path / "light.mkv").video.pix_fmt == "gbrp16le"
    media.ffmpeg(*MOVING, "-c:v", "rawvideo", "-pix_fmt", "gbrpf32be", tmp_path / "float.nut")
    with pytest.raises(SourceError, match="floating point"):
        probe(tmp_path / "float.nut")


@pytest.mark.parametrize("still", ["mjpeg", "png"])
def test_the_film_is_taken_where_a_still_comes_first(media, tmp_path, tiny, still):
    source = tmp_path / "still.mkv"
    image = ["-f", "lavfi", "-t", 0.04, "-i", "color=red:size=32x32"]
    media.ffmpeg(*image, *MOVING, "-map", 0, "-map", 1, "-c:v:0", still, "-c:v:1", "libx264", source)
    report = run_job(source, tmp_path / "result.mkv", tiny)
    assert report.frames == 5
    assert probe(tmp_path / "result.mkv").video.width == 192
    assert len(probe(tmp_path / "result.mkv").streams) + len(report.lost) == 1


@pytest.mark.parametrize("tick", ["1/1000000", "1/20000000"])
def test_a_frame_rate_that_no_film_has_is_not_believed(media, tmp_path, tiny, tick):
    source = tmp_path / "odd.h264"
    media.ffmpeg(*MOVING, "-c:v", "libx264", "-bsf:v", f"h264_metadata=tick_rate={tick}", source)
    found = probe(source)
    assert found.video.frame_rate == 25
    assert " frames per second; 25 fps taken" in "\n".join(analyse(found, Settings.of({})).explain())
    report = run_job(source, tmp_path / "result.mp4", tiny)
    assert report.frames == 5
    assert probe(tmp_path / "result.mp4").video.frame_rate == 25
