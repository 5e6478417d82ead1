"""Black borders and the foot of a tape capture: found, told, and left as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dossr_video
from dossr_video.frames import Area
from dossr_video.jobs.plan import make_plan
from dossr_video.pipeline.shot import letterboxed
from dossr_video.settings import Settings
from dossr_video.video.inspect.borders import Borders, black_borders, picture_area
from dossr_video.video.inspect.content import sample_content
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader


def ignore(count: int) -> None:
    pass


def test_black_lines_and_columns_are_counted_through_noise():
    rng = np.random.default_rng(1)
    frame = rng.integers(14, 22, (96, 128)).astype(np.uint8)
    frame[10:80, 7:120] = rng.integers(30, 200, (70, 113))
    assert black_borders(frame) == Borders(top=10, bottom=16, left=7, right=8)
    assert black_borders(np.full((96, 128), 16, np.uint8)) is None
    assert not black_borders(rng.integers(0, 255, (96, 128)).astype(np.uint8))


def test_a_dark_scene_and_a_glow_in_the_dark_have_no_borders(media, sample, tmp_path):
    dark = "lutyuv=y='16+(val-16)*0.1',noise=c0s=3:c0f=t"
    glow = "geq=lum='16+180*exp(-(pow(X-W/2,2)+pow(Y-H/2,2))/400)':cb=128:cr=128"
    for name, change in (("dark", dark), ("glow", glow)):
        clip = tmp_path / f"{name}.mkv"
        media.ffmpeg("-i", sample, "-an", "-vf", change, "-c:v", "libx264", "-qp", "0", "-frames:v", 12, clip)
        source = probe(clip)
        assert sample_content(source, max_pixels=source.video.width * source.video.height).borders == Borders(), name


def test_the_area_is_the_whole_where_hardly_anything_would_be_left():
    assert picture_area(Borders(), 0, width=64, height=64) is None
    assert picture_area(Borders(top=50), 0, width=64, height=64) is None
    assert picture_area(Borders(top=4, bottom=6), 8, width=64, height=64) == Area(0, 4, 64, 56)


def test_each_shot_has_the_borders_of_its_own(media, resolved):
    path = media("letterbox.mp4")
    plan = make_plan(*resolved(path, Settings()), on_frame=ignore)
    assert {(segment.shot, segment.area) for segment in plan.segments} == {(0, Area(0, 24, 128, 72)), (1, None)}


def test_borders_are_told_before_the_work(media, tmp_path):
    media.ffmpeg("-i", media("letterbox.mp4"), "-t", 0.8, tmp_path / "letterbox.mp4")
    text = "\n".join(analyse(probe(tmp_path / "letterbox.mp4"), Settings.of({})).explain())
    assert "black lines or columns: 24 above, 24 below; borders of a whole shot are scaled, not restored" in text


@pytest.mark.parametrize("name", ["switching.mpg", "skewed.mpg"])
def test_head_switching_is_found_and_told(media, name):
    source = probe(media(name))
    assert sample_content(source, max_pixels=source.video.width * source.video.height).switching == 8
    assert any("the last 8 lines; scaled" in line for line in analyse(source, Settings.of({})).explain())


@pytest.mark.parametrize("name", ["pal_tff.mpg", "ntsc_bff.avi", "telecine.mpg", "h264_bff.mkv", "mixed.mp4"])
def test_clean_material_has_no_head_switching(media, name):
    source = probe(media(name))
    look = sample_content(source, max_pixels=source.video.width * source.video.height)
    assert (look.switching, look.borders) == (0, Borders())


def test_what_lies_around_the_picture_does_not_bleed_into_it():
    pictures = torch.zeros(1, 3, 8, 12)
    area = Area(2, 3, 10, 8)
    area.of(pictures)[:] = 1
    result = letterboxed(torch.full((1, 3, 20, 32), 0.5), pictures, area, (32, 48))
    assert result[..., :12, :].max() == 0
    assert result[..., :, :8].max() == 0
    assert result[..., :, 40:].max() == 0
    assert (result[..., 12:, 8:40] == 0.5).all()


@pytest.mark.parametrize(
    ("name", "around"),
    [("letterbox.mp4", [slice(0, 24), slice(72, 96)]), ("switching.mpg", [slice(232, 240)])],
)
def test_a_network_leaves_what_lies_around_the_picture_alone(media, tmp_path, name, around):
    target = tmp_path / "result.mkv"
    video = probe(media(name)).video
    settings = Settings(duration=0.04, encoder="ffv1", pix_fmt="bgr0", width=video.width, height=video.height)
    dossr_video.upscale(media(name), target, settings)
    with PyavReader(target) as result, PyavReader(media(name)) as source:
        change = (next(result.frames()).rgb() - next(source.frames()).rgb()).abs().amax((0, 2))
    untouched = torch.zeros(video.height, dtype=torch.bool)
    for lines in around:
        untouched[lines] = True
    assert change[untouched].max() < 1 / 255
    assert change[~untouched].min() > 1 / 255
