from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dossr_video import preview as room
from dossr_video.cli.commands import app
from dossr_video.errors import DossrError, SettingsError, SourceError, TargetError
from dossr_video.preview import preview, trials
from dossr_video.quality.pairs import encode
from dossr_video.settings import Settings
from dossr_video.video.read.pyav import PyavReader

BICUBIC = Settings(model="bicubic", scale=2)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames of 64x48 at 25 per second: frame t is of brightness 40 + t, a checkerboard in its corner."""
    clip = np.stack([np.full((48, 64, 3), 40 + t, np.uint8) for t in range(100)])
    clip[:, -12:, :16] = 255 * (np.indices((12, 16)).sum(0) % 2)[..., None]
    path = tmp_path_factory.mktemp("preview") / "film.mkv"
    encode(clip, path, crf=None)
    return path


def levels(sheet: Path, *, columns: int) -> list[list[int]]:
    """Which frame each detail of a sheet of 128x96 details shows, by its upper right corner."""
    picture = np.asarray(Image.open(sheet).convert("L"))
    rows = round((picture.shape[0] + 4) / 100)
    assert picture.shape[1] == columns * 132 - 4
    return [[int(picture[100 * i + 40, 132 * j + 120]) - 40 for j in range(columns)] for i in range(rows)]


def test_a_preview_shows_moments_spread_over_the_file(film: Path, tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    wanted = trials(BICUBIC, {})
    (estimate,) = preview(film, wanted, tmp_path / "a.html", count=2, on_frames=lambda *n: counted.append(n))
    assert levels(tmp_path / "a.png", columns=2) == [[25, 25], [75, 75]]
    assert counted == [(3, 6), (6, 6)]
    assert estimate.hours == pytest.approx(100 * estimate.seconds_per_frame / 3600)
    text = (tmp_path / "a.html").read_text()
    assert text.count('class="still"') == 2
    assert "Preview of film.mkv" in text


def test_every_combination_is_done_on_the_same_frames(film: Path, tmp_path: Path) -> None:
    wanted = trials(BICUBIC, {"scale": [2, 4], "deflicker": [True]})
    assert [trial.name for trial in wanted] == ["scale=2, deflicker=True", "scale=4, deflicker=True"]
    assert [trial.settings.scale for trial in wanted] == [2, 4]
    assert all(trial.settings.deflicker and trial.settings.model == "bicubic" for trial in wanted)
    names = [estimate.name for estimate in preview(film, wanted, tmp_path / "b.html", at=[1.0, 0.0])]
    assert names == [trial.name for trial in wanted]
    picture = np.asarray(Image.open(tmp_path / "b.png"))
    assert picture.shape[:2] == (2 * 196 - 4, 3 * 260 - 4)  # all at the size of the largest
    assert all(name in (tmp_path / "b.html").read_text() for name in names)


def test_of_large_frames_the_most_detailed_part_is_done(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PIXELS", 32 * 24)
    whole = Settings(model="bicubic", width=192)
    preview(film, trials(whole, {}), tmp_path / "c.html", at=[1.0])
    picture = np.asarray(Image.open(tmp_path / "c.png").convert("L"))
    assert picture.shape == (72, 2 * 100 - 4)
    assert picture[-6:, :40].max() > 200  # the checkerboard
    assert "the most detailed part of each" in (tmp_path / "c.html").read_text()


def test_moments_of_a_short_file_are_the_middles_of_its_longest_shots(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shots = [
        (rng.integers(0, 60, (1, 48, 64, 3)) + level).repeat(length, 0)
        for level, length in ((20, 30), (150, 10), (60, 20))
    ]
    clip = np.concatenate(shots).astype(np.uint8)
    clip[:, :20, 40:] = (40 + np.arange(60))[:, None, None, None]
    encode(clip, tmp_path / "shots.mkv", crf=None)
    preview(tmp_path / "shots.mkv", trials(BICUBIC, {}), tmp_path / "a.html", count=2)
    with PyavReader(tmp_path / "shots.mkv") as reader:
        times = [float(frame.pts * reader.time_base) for frame in reader.frames()]
    text = (tmp_path / "a.html").read_text()
    seconds = [float(found) for found in re.findall(r'data-seconds="([^"]+)"', text)]
    assert [times.index(second) for second in seconds] == [14, 49]


def test_seconds_play_beside_the_source(film: Path, tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    wanted = trials(BICUBIC, {"scale": [2, 4]})
    preview(film, wanted, tmp_path / "a.html", at=[0.0, 1.0], seconds=0.4, on_frames=lambda *n: counted.append(n))
    assert counted[-1] == (44, 44)  # twice ten frames and, at the second moment, two before them
    films = re.findall(r'src="data:video/webm;base64,([^"]+)"', (tmp_path / "a.html").read_text())
    for data, first in zip(films, (0, 25), strict=True):
        with av.open(io.BytesIO(base64.b64decode(data))) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == 10
        cells = [[frame[60:90, x : x + 60].mean() for x in (60, 320, 580)] for frame in frames]
        assert np.abs(np.array(cells) - (40 + first + np.arange(10))[:, None]).max() < 4
    with pytest.raises(SettingsError, match="--seconds 11 must be 0 to 10"):
        preview(film, wanted, tmp_path / "b.html", seconds=11)


def test_nothing_is_overwritten_and_nothing_left_behind(film: Path, tmp_path: Path) -> None:
    (tmp_path / "look.png").write_text("mine")
    with pytest.raises(TargetError, match=r"look\.png exists"):
        preview(film, trials(BICUBIC, {}), tmp_path / "look.html")
    with pytest.raises(SourceError, match=r"no frame at 9 s"):
        preview(film, trials(BICUBIC, {}), tmp_path / "late.html", at=[9.0])
    assert [path.name for path in tmp_path.iterdir()] == ["look.png"]


def test_the_sheet_is_not_written_over_the_source(tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    assert cv2.imwrite(str(picture), np.zeros((32, 48, 3), np.uint8))
    before = picture.read_bytes()
    with pytest.raises(TargetError, match=r"its sheet .*scan\.png is an input itself"):
        preview(picture, trials(BICUBIC, {}), tmp_path / "scan.html", force=True)
    assert picture.read_bytes() == before


def test_what_cannot_be_tried_is_told(film: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="0 moments"):
        preview(film, trials(BICUBIC, {}), tmp_path / "e.html", count=0)
    for choices in ({"sharpness": [1]}, {"scale": [17]}, {"seed": list(range(13))}):
        with pytest.raises(SettingsError):
            trials(BICUBIC, choices)


def test_the_command_says_how_long_the_whole_file_takes(film: Path, tmp_path: Path) -> None:
    arguments = ["preview", str(film), "--page", str(tmp_path / "d.html"), "--model", "bicubic", "--at", "0:01"]
    done = CliRunner().invoke(
        app, [*arguments, "--try", "scale=2,3", "--try", "blend=off"], standalone_mode=False, catch_exceptions=False
    )
    lines = [line for line in done.stdout.splitlines() if "for the whole file" in line]
    assert [line.split(":")[0] for line in lines] == ["scale=2, blend=off", "scale=3, blend=off"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.html", "d.png"]
    for wrong in (
        ["--at", "1:70"],
        ["--at", "soon"],
        ["--try", "scale"],
        ["--try", "scale=2,"],
        ["--try", "seed={"],
    ):
        with pytest.raises(DossrError):
            CliRunner().invoke(app, [*arguments, "--force", *wrong], standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize("name", ["sample", "raw"])
def test_frames_near_a_time_begin_there(name: str, sample: Path, tmp_path: Path) -> None:
    path = sample
    if name == "raw":  # cannot seek
        path = tmp_path / "raw.264"
        with av.open(str(sample)) as given, av.open(str(path), "w", format="h264") as made:
            stream = made.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    made.mux(packet)
    with PyavReader(path) as reader:
        whole = [frame.pts for frame in reader.frames()]
        start = reader.info.start / reader.time_base
        for index in (0, 1, 30, 49):
            near = reader.frames_near(float((whole[index] - start) * reader.time_base))
            assert next(near).pts == whole[index]
        assert next(reader.frames_near(60.0), None) is None
