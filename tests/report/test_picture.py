from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dossr_video.errors import SourceError
from dossr_video.quality.pairs import encode
from dossr_video.report import before_after
from dossr_video.report.moments import SPAN, moments
from dossr_video.report.picture import WIDTH, draw, most_detailed
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.reader import ReadSpec, open_reader


def counting(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frame t is of brightness 40 + t, but for a checkerboard in its lower left corner."""
    clip = np.stack([np.full((height, width, 3), 40 + t % 200, np.uint8) for t in range(frames)])
    clip[:, -12:, :16] = 255 * (np.indices((12, 16)).sum(0) % 2)[..., None]
    return clip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Nine frames of 64x48 and the same frames four times larger, 25 per second, lossless."""
    folder = tmp_path_factory.mktemp("report")
    encode(counting(9, 48, 64), folder / "source.mkv", crf=None)
    encode(counting(9, 192, 256), folder / "target.mkv", crf=None)
    return folder / "source.mkv", folder / "target.mkv"


def brightness(picture: NDArray[np.uint8]) -> float:
    return float(picture[:20].mean())


def test_moments_show_the_same_frames(files: tuple[Path, Path]) -> None:
    found = moments(*files, count=3, read=ReadSpec())
    assert [round(brightness(m.after)) - 40 for m in found] == [1, 4, 7]
    assert [round(brightness(m.before)) - 40 for m in found] == [1, 4, 7]
    assert [m.seconds for m in found] == pytest.approx([0.04, 0.16, 0.28])
    assert found[0].source.shape == (48, 64, 3)
    assert found[0].before.shape == found[0].after.shape == (192, 256, 3)


def test_a_result_that_begins_later_is_held_against_the_right_frame(files: tuple[Path, Path], tmp_path: Path) -> None:
    encode(counting(9, 192, 256)[3:], tmp_path / "cut.mkv", crf=None)
    (moment,) = moments(files[0], tmp_path / "cut.mkv", count=1, read=ReadSpec(start=0.12))
    assert brightness(moment.after) == pytest.approx(40 + 6, abs=0.5)
    assert brightness(moment.before) == pytest.approx(brightness(moment.after), abs=0.5)


def test_more_moments_than_frames_are_as_many_as_frames(files: tuple[Path, Path]) -> None:
    assert len(moments(*files, count=50, read=ReadSpec())) == 9


def test_long_films_are_not_decoded_to_their_middle(tmp_path: Path) -> None:
    encode(counting(SPAN + 150, 16, 16), tmp_path / "long.mkv", crf=None)
    (moment,) = moments(tmp_path / "long.mkv", tmp_path / "long.mkv", count=1, read=ReadSpec())
    assert moment.seconds == pytest.approx(SPAN / 2 / 25)


def test_the_picture_is_split_between_source_and_result(tmp_path: Path) -> None:
    encode(np.full((3, 48, 64, 3), 40, np.uint8), tmp_path / "dark.mkv", crf=None)
    encode(np.full((3, 192, 256, 3), 200, np.uint8), tmp_path / "bright.mkv", crf=None)
    before_after(tmp_path / "dark.mkv", tmp_path / "bright.mkv", tmp_path / "picture.png", read=ReadSpec())
    with Image.open(tmp_path / "picture.png") as image:
        picture = np.asarray(image)
    assert picture.shape[1] == 256
    assert picture[100, 64].tolist() == [40, 40, 40]
    assert picture[100, 192].tolist() == [200, 200, 200]
    details = picture[-10]  # before and after of either half, in turn
    assert [int(details[x, 0]) for x in (32, 96, 160, 224)] == [40, 200, 40, 200]


def test_a_wide_picture_is_shrunk(tmp_path: Path) -> None:
    encode(np.full((1, 32, 440, 3), 90, np.uint8), tmp_path / "source.mkv", crf=None)
    encode(np.full((1, 128, 1760, 3), 90, np.uint8), tmp_path / "target.mkv", crf=None)
    before_after(tmp_path / "source.mkv", tmp_path / "target.mkv", tmp_path / "picture.png", read=ReadSpec())
    with Image.open(tmp_path / "picture.png") as image:
        assert image.width == WIDTH


def test_the_most_detailed_part_is_found() -> None:
    assert most_detailed(counting(1, 96, 128)[0], (16, 12)) == (0, 84)


def test_the_details_show_the_most_detailed_parts(files: tuple[Path, Path]) -> None:
    (moment,) = moments(*files, count=1, read=ReadSpec())
    details = np.asarray(draw(moment))[moment.after.shape[0] :]
    assert details[20:, 66:124].max() > 200  # "after" of the left half, below its label: the checkerboard


def test_a_missing_source_is_an_error_and_leaves_no_picture(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        before_after(tmp_path / "none.mkv", files[1], tmp_path / "picture.png", read=ReadSpec())
    assert not (tmp_path / "picture.png").exists()


def test_fields_that_became_frames_show_the_same_moment(tmp_path: Path) -> None:
    """A bar that moves 8 pixels a field: one field off would be seen."""
    fields = np.full((40, 96, 320, 3), 60, np.uint8)
    for time, picture in enumerate(fields):
        picture[:, 8 * time : 8 * time + 16] = 220
    woven = fields[0::2].copy()
    woven[:, 1::2] = fields[1::2, 1::2]
    encode(woven, tmp_path / "source.mkv", crf=None)
    read = analyse(probe(tmp_path / "source.mkv"), Settings()).read
    with open_reader(tmp_path / "source.mkv", read) as reader:
        assert reader.frame_rate == 50
    encode(fields, tmp_path / "target.mkv", crf=None)
    for moment in moments(tmp_path / "source.mkv", tmp_path / "target.mkv", count=6, read=read):
        assert np.abs(moment.before.astype(int) - moment.after).mean() < 4
