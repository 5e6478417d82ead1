"""Planes to RGB and back: the right matrix and range, chroma where it lies, no bit lost on the way."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from dossr_video.video import pixels
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.tags import LUMA_WEIGHTS, ColorInfo
from dossr_video.video.write.encoders import ENCODERS
from dossr_video.video.write.formats import choose_pix_fmt

WHOLE = [
    "yuv444p",
    "yuv444p10le",
    "yuv444p12le",
    "yuv444p16le",
    "gbrp",
    "gbrp10le",
    "gbrp16le",
    "yuva444p10le",
    "bgr0",
    "argb",
]


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    torch.manual_seed(4)
    coarse = torch.rand(1, 3, 5, 6)
    return torch.nn.functional.interpolate(coarse, size=(60, 84), mode="bicubic")[0].clamp(0, 1)


@pytest.mark.parametrize("matrix", sorted(LUMA_WEIGHTS))
@pytest.mark.parametrize("code_range", ["tv", "pc"])
@pytest.mark.parametrize("pix_fmt", WHOLE)
def test_there_and_back_is_within_rounding(picture, pix_fmt, code_range, matrix):
    color = ColorInfo(matrix=matrix, range=code_range, chroma_location="left")
    back = pixels.ToRgb(color)(pixels.from_rgb(picture, pix_fmt, color))
    step = 1 / ((1 << pixels.bit_depth(pix_fmt)) - 1)
    assert (back - picture).abs().max() < 3 * step + 1e-4


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "gray10le", *WHOLE])
@pytest.mark.parametrize("code_range", ["tv", "pc"])
def test_black_and_white_stay_black_and_white(pix_fmt, code_range):
    color = ColorInfo(matrix="bt709", range=code_range, chroma_location="left")
    for value in (0.0, 1.0):
        back = pixels.ToRgb(color)(pixels.from_rgb(torch.full((3, 16, 16), value), pix_fmt, color))
        assert (back - value).abs().max() < 1e-4


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuva420p", "yuv422p10le", "gbrp", "gray"])
def test_strips_do_not_matter(monkeypatch, pix_fmt, location):
    noise, opacity = torch.rand(3, 37, 20) * 1.2 - 0.1, torch.rand(1, 37, 20)
    color = ColorInfo(matrix="gbr" if pix_fmt == "gbrp" else "bt709", range="tv", chroma_location=location)
    whole = pixels.from_rgb(noise, pix_fmt, color, alpha=opacity)
    monkeypatch.setattr(pixels, "STRIP", 8)
    again = pixels.from_rgb(noise, pix_fmt, color, alpha=opacity)
    for index in range(len(whole.planes)):
        assert np.array_equal(pixels.plane(whole, index), pixels.plane(again, index))


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
def test_chroma_lies_where_the_tag_says(location):
    columns = torch.arange(16.0)
    across = pixels.subsample(columns.expand(16, 16), (1, 1), location)[4, 1:-1]
    down = pixels.subsample(columns.expand(16, 16).T, (1, 1), location)[1:-1, 4]
    assert torch.equal(across, torch.arange(2.0, 13, 2) + (0.5 if location == "center" else 0))
    assert torch.equal(down, torch.arange(2.0, 13, 2) + (0 if location == "topleft" else 0.5))


def test_a_ten_bit_ramp_shows_no_bands(media, tmp_path):
    ramp = tmp_path / "ramp.mkv"
    media.ffmpeg(
        *["-f", "lavfi", "-i", "gradients=size=876x16:rate=25:duration=0.04:c0=black:c1=white:x0=0:y0=0:x1=876:y1=0"],
        *["-vf", "format=gray,format=yuv420p10le,geq=lum='64+X':cb=512:cr=512", "-c:v", "ffv1", ramp],
    )
    with PyavReader(ramp) as reader:
        rgb = next(reader.frames()).rgb()
        color = reader.info.video.resolved_color
    assert len(rgb[0, 0].unique()) == 876
    again = pixels.from_rgb(rgb, "yuv420p10le", color)
    assert np.array_equal(pixels.plane(again, 0)[0], 64 + np.arange(876))


def test_colours_are_those_ffmpeg_wrote(media, tmp_path):
    path = tmp_path / "bars.mkv"
    red = "color=c=0xC02040:size=64x64:rate=25:duration=0.04"
    for matrix, tag in (("bt709", "bt709"), ("bt601", "smpte170m")):
        media.ffmpeg(
            *["-f", "lavfi", "-i", red, "-vf", f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv444p"],
            *["-colorspace", tag, "-color_range", "tv", "-c:v", "libx264", "-qp", "0", path],
        )
        with PyavReader(path) as reader:
            assert reader.info.video.color.matrix == tag
            mean = next(reader.frames()).rgb().mean((1, 2)) * 255
        # ffmpeg's own conversion is off by 2; the other matrix would be off by 12.
        assert (mean - torch.tensor([192.0, 32.0, 64.0])).abs().max() < 2.5


@pytest.mark.parametrize(
    ("encoder", "source", "chosen"),
    [
        ("libx264", "yuvj420p", "yuv420p"),
        ("libx264", "yuv422p10le", "yuv422p10le"),
        ("libx264", "bgr0", "yuv444p"),
        ("libx264", "gray", "gray"),
        ("qtrle", "argb", "argb"),
        ("libsvtav1", "yuv420p12le", "yuv420p10le"),
        ("ffv1", "bgra", "bgra"),
        ("ffv1", "yuva444p12le", "yuva444p12le"),
        ("prores_ks", "yuv420p", "yuv422p10le"),
        ("prores_ks", "yuva420p", "yuva444p10le"),
        ("dnxhd", "yuv420p", "yuv422p"),
        ("dnxhd", "yuv420p10le", "yuv422p10le"),
        ("dnxhd", "yuv444p", "yuv444p10le"),
        ("v210", "yuv420p10le", "yuv422p10le"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
    ],
)
def test_the_format_keeps_most_of_the_source(encoder, source, chosen):
    assert choose_pix_fmt(encoder, source, width=640, height=480) == chosen


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_odd_sizes_get_a_format_the_encoder_takes(encoder):
    chosen = choose_pix_fmt(encoder, "yuv420p", width=321, height=243)
    if encoder in ("libx264", "libx265"):
        assert chosen == "yuv444p"
    frame = pixels.from_rgb(torch.rand(3, 243, 321), chosen, ColorInfo(matrix="bt709", range="tv"))
    assert isinstance(frame, av.VideoFrame)
    assert (frame.width, frame.height) == (321, 243)


def test_opacity_goes_through_a_packed_format(picture):
    color, opacity = ColorInfo(matrix="gbr", range="pc"), picture[:1]
    for pix_fmt in ("argb", "abgr", "bgra", "rgba"):
        back = pixels.ToRgb(color).alpha(pixels.from_rgb(picture, pix_fmt, color, alpha=opacity))
        assert (back - opacity).abs().max() < 1 / 255
