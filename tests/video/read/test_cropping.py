"""Cropping that the container asks for: PixelCrop of Matroska and `clap` of mp4 and mov are applied, and said."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.info import Cropping
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.cropping import declared_cropping
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import ReadSpec, open_reader

CROP = Cropping(left=8, top=4, right=16, bottom=12)
WIDTH, HEIGHT = 96, 64
SHOWN = WIDTH - CROP.left - CROP.right, HEIGHT - CROP.top - CROP.bottom


def _with_clap(content: bytes, width: int, height: int, across: int, down: int) -> bytes:
    """An mp4 whose index comes last, so that nothing else moves when it grows; the offsets are twice those written."""
    clap = struct.pack(">I4s2I2IiIiI", 40, b"clap", width, 1, height, 1, across, 2, down, 2)
    at = content.index(b"avcC") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    content = content[: at + size] + clap + content[at + size :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = content.index(name, content.index(b"moov")) - 4
        grown = int.from_bytes(content[at : at + 4], "big") + len(clap)
        content = content[:at] + grown.to_bytes(4, "big") + content[at + 4 :]
    return content


def _with_pixel_crop(content: bytes) -> bytes:
    """A Matroska file of a live stream, where nothing points to a place: its track grows by the four elements."""
    values = {b"\x54\xcc": CROP.left, b"\x54\xbb": CROP.top, b"\x54\xdd": CROP.right, b"\x54\xaa": CROP.bottom}
    crop = b"".join(name + b"\x81" + bytes([value]) for name, value in values.items())
    # Video, TrackEntry, Tracks: each with its size, then the first element inside. What lies inside grows first.
    patterns = rb"\xe0(.{1,8}?)\xb0\x81\x60", rb"\xae(.{1,8}?)\xd7\x81\x01", rb"\x16\x54\xae\x6b(.{1,8}?)\xae"
    more = len(crop)
    for pattern in patterns:
        found = re.search(pattern, content, re.DOTALL)
        assert found is not None
        begin, end = found.span(1)
        size = (int.from_bytes(content[begin:end], "big") ^ 1 << 7 * (end - begin)) + more
        content = content[:begin] + b"\1" + size.to_bytes(7, "big") + crop + content[end:]
        crop, more = b"", more + 8 - (end - begin)
    return content


@pytest.fixture(scope="module")
def coded(media, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cropping") / "coded.mp4"
    media.ffmpeg(
        *["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=0.4"],
        *["-c:v", "libx264", "-threads", "1", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path],
    )
    return path


@pytest.fixture(params=["mp4", "mov", "mkv"])
def cropped(request: pytest.FixtureRequest, coded: Path, media, tmp_path: Path) -> Path:
    """The same frames, with the container's wish to show a part of them."""
    path = tmp_path / f"cropped.{request.param}"
    media.ffmpeg(
        "-i", coded, "-c", "copy", *(["-live", "1", "-write_crc32", "0"] if request.param == "mkv" else []), path
    )
    content = path.read_bytes()
    if request.param == "mkv":
        path.write_bytes(_with_pixel_crop(content))
    else:
        across, down = CROP.left - CROP.right, CROP.top - CROP.bottom
        path.write_bytes(_with_clap(content, *SHOWN, across, down))
    return path


def test_the_part_that_is_shown_is_read(cropped: Path, coded: Path) -> None:
    info = probe(cropped)
    assert (info.video.width, info.video.height) == SHOWN
    assert info.video.cropping == CROP
    with PyavReader(cropped) as reader, PyavReader(coded) as whole:
        for frame, uncropped in zip(reader.frames(), whole.frames(), strict=True):
            part = uncropped.rgb()[:, CROP.top : HEIGHT - CROP.bottom, CROP.left : WIDTH - CROP.right]
            assert (frame.rgb() - part)[:, 4:-4, 4:-4].abs().max() < 0.02  # chroma is widened from its neighbours
            assert frame.pts * reader.time_base == uncropped.pts * whole.time_base


def test_it_is_said_and_done(cropped: Path, tmp_path: Path) -> None:
    settings = Settings.of({"model": "bicubic", "scale": 2, "speed": "ultrafast"})
    plan = analyse(probe(cropped), settings, target=tmp_path / "out.mp4")
    assert any("crops the picture (left 8, top 4, right 16, bottom 12" in line for line in plan.explain())
    report = run_job(cropped, tmp_path / "out.mp4", settings)
    assert report.proof.passed
    assert probe(tmp_path / "out.mp4").video.width == 2 * SHOWN[0]
    assert probe(tmp_path / "out.mp4").video.cropping is None


@pytest.mark.parametrize(
    "aperture", [(WIDTH, HEIGHT, 0, 0), (0, 0, 0, 0), (200, 100, 0, 0), (WIDTH, 10, 5000, 0), (50, 50, 9, -60000)]
)
def test_an_aperture_that_is_none_is_not_applied(
    coded: Path, tmp_path: Path, aperture: tuple[int, int, int, int]
) -> None:
    path = tmp_path / "none.mp4"
    path.write_bytes(_with_clap(coded.read_bytes(), *aperture))
    assert probe(path).video.cropping is None


def test_damaged_tables_end_the_search(cropped: Path, coded: Path, tmp_path: Path) -> None:
    """Whatever bytes are changed, the search ends, and finds a cropping that fits or none."""
    content, rng = cropped.read_bytes(), np.random.default_rng(1)
    name = "matroska,webm" if cropped.suffix == ".mkv" else "mov,mp4"
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 20):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "damaged").write_bytes(damaged[: rng.integers(1, len(damaged))])
        found = declared_cropping(tmp_path / "damaged", name, 0, WIDTH, HEIGHT)
        assert found is None or (found.left + found.right < WIDTH and found.top + found.bottom < HEIGHT)


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "crop"),
    [
        ("libx264", "yuv420p", (6, 2, 4, 0)),
        ("libx264", "yuv420p", (2, 6, 0, 2)),
        ("libx264", "yuv444p", (5, 3, 2, 1)),
        ("libx265", "yuv420p", (6, 2, 4, 0)),
        ("libx265", "yuv422p10le", (10, 3, 2, 0)),
    ],
)
def test_cropping_of_the_codec_is_exact_in_every_reader(media, tmp_path, tiny, encoder, pix_fmt, crop):
    left, top, right, bottom = crop
    whole, source = tmp_path / "whole.mkv", tmp_path / "cropped.mkv"
    media.ffmpeg(
        *["-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=0.2", "-c:v", encoder],
        *["-preset", "ultrafast", "-pix_fmt", pix_fmt, whole],
    )
    metadata = "hevc_metadata" if encoder == "libx265" else "h264_metadata"
    sides = f"crop_left={left}:crop_top={top}:crop_right={right}:crop_bottom={bottom}"
    media.ffmpeg("-i", whole, "-c", "copy", "-bsf:v", f"{metadata}={sides}", source)
    with PyavReader(whole) as reader:
        frames = [frame.rgb()[:, top : HEIGHT - bottom, left : WIDTH - right] for frame in reader.frames()]
    video = probe(source).video
    assert (video.width, video.height) == (WIDTH - left - right, HEIGHT - top - bottom)
    for name in ("pyav", "decord", "torchcodec"):
        try:
            with open_reader(source, ReadSpec(reader=name)) as reader:
                shown = [frame.rgb() for frame in reader.frames()]
        except SourceError as error:
            assert name != "pyav"
            assert "exactly" in error.message or "not installed" in error.message  # noqa: PT017
            continue
        assert len(shown) == 5
        for was, now in zip(frames, shown, strict=True):
            # Chroma at the new edges is widened from what is left.
            assert was[:, 4:-4, 4:-4] == pytest.approx(now[:, 4:-4, 4:-4], abs=0.06)
    report = run_job(source, tmp_path / "result.mkv", tiny)
    assert (report.damage, probe(tmp_path / "result.mkv").video.width) == ((), 2 * video.width)


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom", "size"),
    [(8, 4, 11, 12, (77, 48)), (9, 4, 16, 12, (72, 48)), (8, 5, 16, 7, (72, 53))],
)
def test_an_odd_cropping_loses_nothing_that_is_shown(coded, tmp_path, tiny, left, top, right, bottom, size):
    source = tmp_path / "odd.mp4"
    shown = WIDTH - left - right, HEIGHT - top - bottom
    source.write_bytes(_with_clap(coded.read_bytes(), *shown, left - right, top - bottom))
    video = probe(source).video
    even = left // 2 * 2, top // 2 * 2
    assert (video.cropping.left, video.cropping.top) == even
    assert ((video.width, video.height), video.width + even[0]) == (size, WIDTH - right)
    with PyavReader(coded) as whole, PyavReader(source) as reader:
        before, after = (next(one.frames()).luma() for one in (whole, reader))
    assert np.array_equal(after, before[even[1] : HEIGHT - bottom, even[0] : WIDTH - right])
    assert run_job(source, tmp_path / "result.mkv", tiny).damage == ()
