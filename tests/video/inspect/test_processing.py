"""What is found in a file, what is done about it, and whether the reader does exactly that."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dossr_video.errors import SettingsError
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse, output_size
from dossr_video.video.read.deinterlace import FieldPlan, FieldSpan, measure
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("pal_tff.mpg", FieldPlan("field", "tff")),
        ("h264_bff.mkv", FieldPlan("field", "bff")),
        ("ntsc_bff.avi", FieldPlan("field", "bff")),
        ("telecine.mpg", FieldPlan("film", "tff")),
        ("unflagged.mkv", FieldPlan("field", "tff")),
        ("psf.mkv", None),
        ("plain.mp4", None),
        ("vfr.mp4", None),
    ],
)
def test_interlacing_is_judged_by_flags_and_content(media, name, plan):
    expected = () if plan is None else (FieldSpan(None, plan),)
    assert analyse(probe(media(name)), Settings.of({})).fields == expected


def test_the_user_may_overrule(media):
    source = probe(media("pal_tff.mpg"))
    assert analyse(source, Settings.of({"deinterlace": "off"})).fields == ()
    assert analyse(source, Settings.of({"deinterlace": "frame"})).fields == (
        FieldSpan(None, FieldPlan("frame", "tff")),
    )
    assert analyse(probe(media("plain.mp4")), Settings.of({"cadence": "film"})).fields == (
        FieldSpan(None, FieldPlan("film", "tff")),
    )


def test_vertical_motion_is_not_taken_for_fields():
    rng = np.random.default_rng(3)
    texture = np.repeat(rng.integers(0, 255, (300, 10)), 8, axis=1).astype(np.uint8)
    texture = ((texture[:-2].astype(int) + 2 * texture[1:-1] + texture[2:]) // 4).astype(np.uint8)
    counts = measure([texture[t : t + 128] for t in range(20)])
    assert (counts.tff, counts.bff) == (0, 0)


def test_heights_that_four_does_not_divide():
    rng = np.random.default_rng(3)
    assert measure([rng.integers(0, 255, (270, 48)).astype(np.uint8) for _ in range(3)]).frames == 3


def test_fields_become_twice_the_pictures_at_exact_times(opened, media):
    with opened(media("pal_tff.mpg")) as reader:
        pts = [frame.pts * reader.time_base for frame in reader.frames()]
        assert reader.frame_rate == 50
    with PyavReader(media("pal_tff.mpg")) as raw:
        fields = [frame.pts * raw.time_base for frame in raw.frames()]
    assert len(pts) == 2 * len(fields)
    assert pts[::2] == fields
    assert {b - a for a, b in pairwise(pts)} == {Fraction(1, 50)}


def test_pulldown_is_undone_to_the_film_it_was(opened, media):
    with opened(media("telecine.mpg")) as reader:
        frames = list(reader.frames())
        assert reader.frame_rate == Fraction(24000, 1001)
    assert len(frames) == 48
    assert len({frame.digest() for frame in frames}) == 48
    assert {(b.pts - a.pts) * reader.time_base for a, b in pairwise(frames)} == {Fraction(1001, 24000)}


@pytest.mark.parametrize("name", ["pal_tff.mpg", "telecine.mpg", "mixed.mp4"])
def test_filtered_frames_are_the_same_wherever_reading_starts(opened, media, name):
    with opened(media(name)) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
    for index in (1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        with opened(media(name)) as reader:
            frame = next(reader.frames(whole[index][0]))
        assert (frame.pts, frame.digest()) == whole[index]


def test_mixed_material_is_treated_shot_by_shot(opened, media):
    processing = analyse(probe(media("mixed.mp4")), Settings.of({}))
    plans = [FieldPlan("field", "tff"), FieldPlan("film", "tff"), None, FieldPlan("field", "tff")]
    assert [span.plan for span in processing.fields] == plans
    assert "mixed content, 4 parts" in processing.explain()[0]
    with opened(media("mixed.mp4")) as reader:
        pts = [frame.pts * reader.time_base for frame in reader.frames()]
        assert reader.frame_rate == Fraction(60000, 1001)
    steps = Counter(b - a for a, b in pairwise(pts))
    assert steps.keys() == {Fraction(1001, 60000), Fraction(1001, 24000), Fraction(1001, 30000)}
    starts = [span.start * Fraction(1, 30000) for span in processing.fields[1:]]
    assert set(starts) <= set(pts)
    assert len([time for time in pts if time < starts[0]]) == 72
    assert len([time for time in pts if starts[1] <= time < starts[2]]) == 36


def test_shape_is_kept_as_a_tag_or_resampled(media):
    video = probe(media("pal_tff.mpg")).video
    assert output_size(video, Settings.of({"scale": 2}), Path("x.mp4"), 4) == (1440, 1152)
    assert output_size(video, Settings.of({"scale": 2, "square_pixels": True}), Path("x.mp4"), 4) == (1536, 1152)
    assert output_size(video, Settings.of({"scale": 2, "encoder": "ffv1"}), Path("x.mkv"), 4) == (1536, 1152)
    assert output_size(video, Settings.of({"height": 1080, "square_pixels": True}), Path("x.mp4"), 4) == (1440, 1080)
    assert output_size(video, Settings.of({"width": 1441}), Path("x.mp4"), 4) == (1441, 1152)  # as asked for
    assert output_size(video, Settings.of({"height": 1081}), Path("x.mp4"), 4) == (1352, 1081)
    with pytest.raises(SettingsError, match="width"):
        Settings.of({"width": 15})


def test_losses_are_named_and_strict_refuses_them(media):
    source = probe(media("full.mkv"))
    processing = analyse(source, Settings.of({}), target=Path("x.mp4"))
    named = ["attachment stream 5 (probe.ttf)", "subtitle stream 3 (subrip, eng)"]  # the second becomes the default
    assert [line.split(":")[0] for line in processing.lost] == named
    assert analyse(source, Settings.of({"strict": True}), target=Path("x.mkv")).lost == ()
    with pytest.raises(SettingsError, match="--strict: attachment stream 5"):
        analyse(source, Settings.of({"strict": True}), target=Path("x.mp4"))
    transparent = analyse(probe(media("alpha.mov")), Settings.of({}), target=Path("x.mp4"))
    assert any("transparency" in line for line in transparent.lost)


def test_the_explanation_is_plain_and_complete(media):
    processing = analyse(probe(media("pal_tff.mpg")), Settings.of({}), target=Path("x.mp4"))
    text = "\n".join(processing.explain())
    assert "interlaced, top field first" in text
    assert "deinterlaced with bwdif, one frame per field: 50 fps" in text
    assert "BT.601 assumed, as players do; written as matrix BT.601, limited range; not tagged" in text
    assert "pixels of 16:15; signalled in metadata" in text
    assert asdict(processing.read)["fields"] == ({"start": None, "plan": {"mode": "field", "order": "tff"}},)


@pytest.mark.parametrize(
    ("change", "told"),
    [("eq=eval=frame:brightness=0.03*(random(0)-0.5)", True), ("fade=in:0:40", False), ("null", False)],
    ids=["pumping", "fade", "steady"],
)
def test_exposure_that_flickers_is_told(media, tmp_path, change, told):
    clip = tmp_path / "clip.mp4"
    media.ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=128x96:rate=25,format=yuv420p,{change}", "-t", 2, clip)
    text = "\n".join(analyse(probe(clip), Settings.of({})).explain())
    assert ("exposure flickers by about" in text) == told
    assert ("--deflicker evens it out" in text) == told
    evened = "\n".join(analyse(probe(clip), Settings.of({"deflicker": True})).explain())
    assert ("from frame to frame; evened out" in evened) == told


@pytest.mark.parametrize(
    ("soften", "size"),
    [("gblur=sigma=2.5:steps=6", "0."), ("null", "kept"), ("noise=alls=12:allf=t", "kept")],
    ids=["soft", "sharp", "grainy"],
)
def test_a_soft_source_is_told_and_restored_at_its_own_size(media, tmp_path, soften, size):
    clip = tmp_path / "clip.mkv"
    media.ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=320x240:rate=25,format=yuv420p,{soften}", "-t", 2, clip)
    off, auto = (analyse(probe(clip), Settings.of({"native": native})) for native in ("off", "auto"))
    assert off.restoration.native == 1
    assert f"; restored at {size}" in "\n".join(auto.explain()) or size == "kept"
    assert (auto.restoration.native < 1) == (size != "kept")
    assert ("--native auto restores it at that size" in "\n".join(off.explain())) == (size != "kept")
    assert "of the pixel grid; " in "\n".join(off.explain())
