"""Picture sequences: read back sample by sample, told what their headers say, refused where pictures are missing."""

from __future__ import annotations

import os
import shutil
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs import durable
from dossr_video.jobs.fingerprint import SourceMark
from dossr_video.jobs.proving import verify
from dossr_video.jobs.report import report_of
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.files import status_of
from dossr_video.video.info import Choice
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import ReadSpec, open_reader
from dossr_video.video.sequence import pattern_in

FORMATS = {"dpx": "gbrp10le", "tif": "rgb48le", "png": "rgb48be", "jp2": "rgb48le", "jpg": "yuvj444p"}
FILM, TIMECODE, SLATE = 1724, 1920, 1764  # offsets in a DPX header
COUNT = 8


@pytest.fixture(scope="module", params=FORMATS)
def scan(request: Any, media: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pattern of eight pictures, numbered from 86399 on."""
    pattern = tmp_path_factory.mktemp(request.param) / f"scan_%06d.{request.param}"
    _draw(media, pattern, FORMATS[request.param])
    return pattern


@pytest.fixture
def dpx(media: Any, tmp_path: Path) -> Path:
    pattern = tmp_path / "reel" / "scan_%06d.dpx"
    pattern.parent.mkdir()
    _draw(media, pattern, "gbrp10le")
    for file in pattern.parent.iterdir():
        data = bytearray(file.read_bytes())
        order = ">" if data[:4] == b"SDPX" else "<"
        data[1664:1664] = b"\xff" * 384  # FFmpeg leaves the film and television parts away
        for offset in (4, 808):  # where the picture begins
            struct.pack_into(f"{order}I", data, offset, 2048)
        struct.pack_into(f"{order}f", data, FILM, 23.976)
        struct.pack_into(f"{order}I", data, TIMECODE, 0x01023904)
        data[SLATE : SLATE + 3] = b"12A"
        file.write_bytes(data)
    return pattern


def _draw(media: Any, pattern: Path, pix_fmt: str) -> None:
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=48x32:r=24", "-frames:v", COUNT, "-pix_fmt", pix_fmt,
        "-start_number", 86399, pattern,
    )  # fmt: skip


def test_every_picture_is_a_frame_sample_by_sample(scan: Path) -> None:
    spec = ReadSpec(choice=Choice(fps=Fraction(24)))
    with open_reader(scan, spec) as reader:
        read = [(frame.pts * reader.time_base, frame) for frame in reader.frames()]
        assert [time for time, _ in read] == [Fraction(i, 24) for i in range(COUNT)]
        for (_, frame), file in zip(read, sorted(scan.parent.iterdir()), strict=True):
            with PyavReader(file) as alone:
                assert frame.digest() == next(alone.frames()).digest()
        assert reader.damage == []
    with open_reader(scan, spec) as reader:  # from the middle: a segment begins anywhere
        again = next(reader.frames(5))
        assert again.pts == 5
        assert again.digest() == read[5][1].digest()


def test_a_folder_is_the_sequence_in_it(scan: Path) -> None:
    found = probe(scan.parent, choice=Choice(fps=Fraction(25)))
    assert found.path == scan
    assert (found.video.frames, found.video.frame_rate, found.duration) == (COUNT, 25, Fraction(COUNT, 25))


def test_a_rate_is_needed_and_only_here(scan: Path, sample: Path) -> None:
    with pytest.raises(SourceError, match="do not say their frame rate"):
        probe(scan)
    with pytest.raises(SourceError, match="is no picture sequence"):
        probe(sample, choice=Choice(fps=Fraction(24)))


def test_a_dpx_header_gives_rate_timecode_and_texts_to_the_result(dpx: Path, tmp_path: Path, tiny: Settings) -> None:
    source = probe(dpx)
    assert source.video.frame_rate == Fraction(24000, 1001)
    assert source.metadata["timecode"] == "01:02:39:04"
    target = tmp_path / "reel.mkv"
    report = run_job(dpx.parent, target, tiny)
    assert report.frames == COUNT
    result = probe(target)
    assert result.video.frame_rate == Fraction(24000, 1001)
    tags = {key.lower(): value for key, value in {**result.metadata, **result.video.stream.metadata}.items()}
    assert (tags["timecode"], tags["dpx_slate"]) == ("01:02:39:04", "12A")
    durable.write(report_of(target), report.dumps().encode())
    assert verify(target, dpx.parent, on_frame=lambda count: None).passed


def test_a_job_goes_on_and_notices_a_changed_picture(dpx: Path) -> None:
    mark = SourceMark.of(dpx)
    assert mark == SourceMark.of(dpx)
    file = sorted(dpx.parent.iterdir())[-1]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert mark.changes_to(SourceMark.of(dpx))


def test_the_date_of_a_sequence_changes_with_that_of_any_picture(dpx: Path) -> None:
    """Also where a picture is put back as it was long ago."""
    before = status_of(dpx)
    os.utime(sorted(dpx.parent.iterdir())[0], (1, 1))
    assert status_of(dpx) != before


def test_missing_pictures_are_named_before_the_work(dpx: Path, tmp_path: Path, tiny: Settings) -> None:
    for number in (86401, 86403):
        (dpx.parent / f"scan_{number:06d}.dpx").unlink()
    with pytest.raises(SourceError, match=r"2 of 8 pictures are missing: 86401, 86403"):
        run_job(dpx, tmp_path / "o.mkv", tiny)
    assert list(tmp_path.iterdir()) == [dpx.parent]


def test_an_empty_picture_is_named(dpx: Path) -> None:
    (dpx.parent / "scan_086402.dpx").write_bytes(b"")
    with pytest.raises(SourceError, match=r"scan_086402\.dpx is empty"):
        probe(dpx)


@pytest.mark.parametrize(("damaged", "shown"), [((3, 4), [0, 1, 2, 2, 2, 5, 6, 7]), ((0, 1), [2, 2, 2, 3, 4, 5, 6, 7])])
def test_a_damaged_picture_keeps_its_number_and_its_neighbour_is_shown(
    dpx: Path, tmp_path: Path, damaged: tuple[int, ...], shown: list[int]
) -> None:
    with PyavReader(dpx) as reader:
        whole = [frame.digest() for frame in reader.frames()]
    for index in damaged:
        file = dpx.parent / f"scan_{86399 + index:06d}.dpx"
        file.write_bytes(file.read_bytes()[:2100])  # cut off behind its header
    with PyavReader(dpx) as reader:
        assert [(frame.pts, frame.digest()) for frame in reader.frames()] == [*enumerate(whole[i] for i in shown)]
        assert [damage.what for damage in reader.damage] == [
            f"scan_{86399 + index:06d}.dpx cannot be decoded; the picture beside it is shown in its place"
            for index in damaged
        ]
    for start in range(COUNT):  # segments begin anywhere
        with PyavReader(dpx) as reader:
            assert [frame.digest() for frame in reader.frames(start)] == [whole[i] for i in shown[start:]]


def test_pictures_made_of_a_damaged_sequence_keep_their_numbers(dpx: Path, tmp_path: Path) -> None:
    (dpx.parent / "scan_086402.dpx").write_bytes(b"nothing" * 100)
    (tmp_path / "out").mkdir()
    settings = Settings.of({"model": "bicubic", "scale": 1})
    report = run_job(dpx, tmp_path / "out" / "o_%06d.dpx", settings)
    assert report.proof.passed
    names = [f"o_{86399 + index:06d}.dpx" for index in range(COUNT)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert "scan_086402.dpx cannot be decoded" in str(report.damage[0])


def test_a_picture_that_vanishes_stops_the_run_with_its_name(dpx: Path, tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    for number in range(400):  # more than the demuxer reads ahead
        os.link(dpx.parent / "scan_086399.dpx", tmp_path / "long" / f"{number:06d}.dpx")
    with PyavReader(tmp_path / "long") as reader:
        frames = reader.frames()
        next(frames)
        (tmp_path / "long" / "000390.dpx").unlink()
        with pytest.raises(SourceError, match=r"000390\.dpx cannot be read"):
            list(frames)


def test_one_picture_of_a_sequence_says_so(dpx: Path, tmp_path: Path, tiny: Settings) -> None:
    report = run_job(dpx.parent / "scan_086400.dpx", tmp_path / "o.mkv", tiny)
    assert report.lost == ("the other pictures of scan_%06d.dpx: name scan_%06d.dpx or the folder, not one picture",)


def test_a_folder_needs_one_sequence(dpx: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a folder without numbered pictures"):
        pattern_in(tmp_path)
    (tmp_path / "alone").mkdir()
    one = shutil.copy(next(dpx.parent.iterdir()), tmp_path / "alone")
    with pytest.raises(SourceError, match="a sequence has at least two") as caught:
        pattern_in(tmp_path / "alone")
    assert caught.value.hint == f"name the picture itself: {one}"
    for file in list(dpx.parent.iterdir()):
        shutil.copy(file, file.with_name(file.name.replace("scan", "take")))
    with pytest.raises(SourceError, match=r"2 picture sequences: scan_%06d.dpx, take_%06d.dpx"):
        pattern_in(dpx.parent)


def test_numbers_without_zeros_in_front(media: Any, tmp_path: Path) -> None:
    media.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32", "-frames:v", 12, tmp_path / "%d.png")
    assert pattern_in(tmp_path) == tmp_path / "%d.png"
    with open_reader(tmp_path, ReadSpec(choice=Choice(fps=Fraction(24)))) as reader:
        assert len(list(reader.frames())) == 12
