"""The preset that suits a file, told by what the file is."""

from __future__ import annotations

import pytest

from dossr_video.presets import preset_names
from dossr_video.settings import Settings
from dossr_video.video.inspect.content import sample_content
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.inspect.suggestion import suggest
from dossr_video.video.read.probe import probe


def suggested(path):
    info, settings = probe(path), Settings.of({})
    return suggest(info, sample_content(info, max_pixels=settings.max_pixels), analyse(info, settings).fields)


@pytest.mark.parametrize(
    ("name", "preset", "why"),
    [
        ("ntsc_bff.avi", "dv", "the codec is DV"),
        ("pal_tff.mpg", "dvd", "MPEG-2 of 720x576"),
        ("telecine.mpg", "dvd", "MPEG-2"),
        ("switching.mpg", "vhs", "head-switching noise"),
        ("h264_bff.mkv", "vhs", "most likely captured from tape"),
        ("rotated.mp4", "phone", "rotated by"),
    ],
)
def test_a_preset_is_suggested_with_its_reason(media, name, preset, why):
    found = suggested(media(name))
    assert found is not None
    assert found.preset == preset
    assert why in found.why
    assert preset in preset_names()


def test_the_defaults_suit_what_is_nothing_special(sample):
    assert suggested(sample) is None


def test_interlaced_hd_is_television(media, tmp_path):
    clip = tmp_path / "hd.ts"
    fields = "tinterlace=interleave_top,fieldorder=tff,setfield=tff"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    media.ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=50", "-vf", fields, "-t", 1, *options, clip)
    assert suggested(clip).preset == "broadcast-hd"


@pytest.mark.parametrize(("noise", "preset"), [(0, "animation"), (25, None)])
def test_a_few_even_tones_are_a_drawing(media, tmp_path, noise, preset):
    clip = tmp_path / "drawn.mkv"
    draw = "color=gray:size=320x240:rate=24,drawbox=x=t*40:y=60:w=90:h=120:color=0xc08040:t=fill,format=yuv420p"
    media.ffmpeg("-f", "lavfi", "-i", f"{draw},noise=alls={noise}:allf=t", "-t", 2, clip)
    found = suggested(clip)
    assert (found and found.preset) == preset


def test_flickering_slow_film_is_amateur_film(media, tmp_path):
    clip = tmp_path / "film.mkv"
    flicker = "eq=eval=frame:brightness=0.03*(random(0)-0.5)"
    media.ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=320x240:rate=18,format=yuv420p,{flicker}", "-t", 3, clip)
    found = suggested(clip)
    assert found is not None
    assert (found.preset, "18 frames per second" in found.why) == ("film-8mm", True)
