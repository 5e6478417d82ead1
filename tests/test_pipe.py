"""`dossr-video - -`: frames of a y4m stream in, of another out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from click.testing import CliRunner

from dossr_video import upscale_frames
from dossr_video.cli.commands import app
from dossr_video.errors import DossrError, Interrupted, SettingsError, SourceError, TargetError
from dossr_video.pipe import unused_options, upscale_pipe
from dossr_video.settings import Settings

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def y4m(*options: str, frames: int = 6) -> bytes:
    """Frames of 48x32 of FFmpeg's test pattern."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=24000/1001", "-frames:v", str(frames)]
    command = [FFMPEG, "-v", "error", *source, *options, "-strict", "-1", "-f", "yuv4mpegpipe", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def feed(pipe: Path, content: bytes) -> None:
    with suppress(BrokenPipeError):  # nobody reads to the end where something is wrong
        pipe.write_bytes(content)


def through(content: bytes, settings: Settings, tmp_path: Path, **hooks: Any) -> bytes:
    """What comes out of a named pipe when `content` goes into another."""
    given, made = tmp_path / "given", tmp_path / "made"
    os.mkfifo(given)
    os.mkfifo(made)
    results: list[bytes] = []
    ends = [
        threading.Thread(target=feed, args=(given, content), daemon=True),
        threading.Thread(target=lambda: results.append(made.read_bytes()), daemon=True),
    ]
    for end in ends:
        end.start()
    upscale_pipe(str(given), str(made), settings, **hooks)
    for end in ends:
        end.join(60)
    return results[0]


def read(content: bytes, path: Path) -> tuple[Any, list[Any]]:
    path.write_bytes(content)
    with av.open(str(path)) as container:
        return container.streams.video[0].average_rate, list(container.decode(video=0))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p16le", "gray"])
def test_frames_go_through_with_their_rate_and_format(pix_fmt: str, tiny: Settings, tmp_path: Path) -> None:
    given = y4m("-pix_fmt", pix_fmt)
    counts: list[int] = []
    made = through(given, tiny, tmp_path, on_frame=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6]
    rate, before = read(given, tmp_path / "before.y4m")
    assert read(made, tmp_path / "after.y4m")[0] == rate
    _, after = read(made, tmp_path / "after.y4m")
    assert len(after) == 6
    assert (after[0].width, after[0].height, after[0].format.name) == (96, 64, before[0].format.name)
    small = after[-1].reformat(48, 32, "rgb24", interpolation="AREA").to_ndarray().astype(float)
    assert np.abs(small - before[-1].to_ndarray(format="rgb24")).mean() < 12  # the same picture, upright


def test_the_frames_are_those_of_the_python_api(tiny: Settings, tmp_path: Path) -> None:
    given = y4m("-vf", "format=gbrp,format=yuv444p")
    made = through(given, tiny.model_copy(update={"pix_fmt": "yuv444p16le"}), tmp_path)
    _, before = read(given, tmp_path / "before.y4m")
    _, after = read(made, tmp_path / "after.y4m")
    wanted = upscale_frames([frame.to_ndarray(format="rgb24") for frame in before], settings=tiny)
    found = [frame.to_ndarray(format="rgb24") for frame in after]
    assert np.abs(np.stack(found).astype(int) - np.stack(wanted)).max() <= 3  # two conversions to 8 bits


def test_what_is_no_y4m_or_breaks_off_is_said(tiny: Settings, tmp_path: Path) -> None:
    for name, content, said in (
        ("a", b"RIFF" + bytes(100), "is not y4m"),
        ("b", y4m()[:-500], "broke off"),
        ("c", y4m().replace(b" Ip ", b" It ", 1), "is interlaced"),
        ("d", b"", "is not y4m"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(SourceError, match=said):
            through(content, tiny, tmp_path / name)


def test_a_reader_that_ends_is_said(tiny: Settings, tmp_path: Path) -> None:
    given, made = tmp_path / "given", tmp_path / "made"
    os.mkfifo(given)
    os.mkfifo(made)
    threading.Thread(target=feed, args=(given, y4m(frames=60)), daemon=True).start()
    threading.Thread(target=lambda: os.close(os.open(made, os.O_RDONLY)), daemon=True).start()
    with pytest.raises(TargetError, match="the program that read the output ended"):
        upscale_pipe(str(given), str(made), tiny)


def test_stops_when_asked(tiny: Settings, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="stopped after 1 frames"):
        through(y4m(), tiny, tmp_path, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-", "o.mkv"], "- is a pipe and o.mkv is not"),
        (["i.mp4", "-"], "- is a pipe and i.mp4 is not"),
        (["-", "-", "--audio", "tone.wav"], "--audio has no meaning for pipes"),
        (["-", "-", "--restart"], "--restart has no meaning for pipes"),
        (["-", "-", "--progress", "json"], "--progress json writes where the frames go"),
    ],
)
def test_what_a_pipe_cannot_do_is_refused(arguments: list[str], said: str) -> None:
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, DossrError)
    assert said in error.message


def test_what_y4m_cannot_hold_is_refused_before_the_work(tiny: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="y4m has no pixel format gbrp"):
        through(y4m(), tiny.model_copy(update={"pix_fmt": "gbrp"}), tmp_path)


def test_options_of_files_are_named_as_without_effect() -> None:
    assert unused_options(Settings(crf=18, start=1, scale=2, strength=0.5)) == ["--crf", "--start"]


def test_standard_input_and_output() -> None:
    command = [sys.executable, "-m", "dossr_video", "-", "-", "--model", "bicubic"]
    done = subprocess.run(command, input=y4m(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"6 frames" in done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W192 H128 F24000:1001")
    assert done.stdout.count(b"FRAME\n") == 6
