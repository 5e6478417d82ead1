"""`dossr-video - -`: frames of a y4m stream in, of another out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from fractions import Fraction
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
from dossr_video.pipe import raw_shape, unused_options, upscale_pipe
from dossr_video.settings import Settings
from dossr_video.video.pipe import Shape

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


def rawvideo(*options: str, frames: int = 6) -> bytes:
    """Frames of 48x32 of FFmpeg's test pattern."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=24000/1001", "-frames:v", str(frames)]
    command = [FFMPEG, "-v", "error", *source, *options, "-f", "rawvideo", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


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


@pytest.mark.parametrize(
    ("aspect", "options", "size", "told"),
    [
        ("30/17", {}, (96, 64), b" A30:17 "),
        ("30/17", {"width": 60, "height": 64}, (60, 64), b" A48:17 "),
        ("30/17", {"square_pixels": True}, (170, 64), b" A1:1 "),
        ("16/33", {"square_pixels": True, "height": 100}, (72, 100), b" A1:1 "),
        ("0", {"square_pixels": True}, (96, 64), b" A0:0 "),
    ],
)
def test_the_pixel_aspect_goes_through(
    aspect: str, options: dict[str, Any], size: tuple[int, int], told: bytes, tiny: Settings, tmp_path: Path
) -> None:
    made = through(y4m("-vf", f"setsar={aspect}"), tiny.model_copy(update={"scale": 2, **options}), tmp_path)
    assert told in made.partition(b"\n")[0]
    _, frames = read(made, tmp_path / "made.y4m")
    assert [(frame.width, frame.height) for frame in frames] == [size] * 6


def test_grey_without_a_range_is_full(tiny: Settings, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))
    made = through(b"YUV4MPEG2 W64 H32 F25:1 Ip Cmono\nFRAME\n" + ramp.tobytes(), tiny, tmp_path)
    _, frames = read(made, tmp_path / "made.y4m")
    assert np.abs(frames[0].to_ndarray()[::2, ::2].astype(int) - ramp).max() <= 2


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


def test_y4m_that_is_read_and_not_written_goes_out_as_another(tiny: Settings, tmp_path: Path) -> None:
    given = y4m("-pix_fmt", "yuv411p")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(SettingsError, match="y4m of the pixel format yuv411p is not written") as caught:
        through(given, tiny, tmp_path / "a")
    assert "--pix-fmt yuv420p" in caught.value.hint
    made = through(given, tiny.model_copy(update={"pix_fmt": "yuv422p"}), tmp_path / "b")
    assert [frame.format.name for frame in read(made, tmp_path / "made.y4m")[1]] == ["yuv422p"] * 6


def test_what_y4m_cannot_hold_is_refused_before_the_work(tiny: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="y4m of the pixel format gbrp is not written"):
        through(y4m(), tiny.model_copy(update={"pix_fmt": "gbrp"}), tmp_path)


def test_options_of_files_are_named_as_without_effect() -> None:
    assert unused_options(Settings(crf=18, start=1, scale=2, strength=0.5)) == ["--crf", "--start"]


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p", "yuv422p10le", "yuv444p16le", "rgb24", "gbrp12le", "nv12"])
def test_rawvideo_is_the_same_as_y4m_without_its_headers(pix_fmt: str, tiny: Settings, tmp_path: Path) -> None:
    """Of RGB, which y4m does not have: the same as frames of the Python interface."""
    raw = raw_shape("48x32", pix_fmt, Settings(fps="23.976"))
    given = rawvideo("-pix_fmt", pix_fmt)
    made = through(given, tiny, tmp_path, raw=raw)
    assert len(made) == 4 * len(given)
    if pix_fmt in ("gray", "yuv422p10le", "yuv444p16le"):  # FFmpeg's y4m of yuv420p has its chroma elsewhere
        (tmp_path / "y4m").mkdir()
        whole = through(y4m("-pix_fmt", pix_fmt), tiny, tmp_path / "y4m")
        assert b"".join(part for part in whole.split(b"FRAME\n")[1:]) == made
    if pix_fmt == "rgb24":
        frames = np.frombuffer(given, np.uint8).reshape(-1, 32, 48, 3)
        assert np.array_equal(
            np.frombuffer(made, np.uint8).reshape(-1, 64, 96, 3), np.stack(upscale_frames([*frames], settings=tiny))
        )


def test_one_kind_comes_in_and_another_goes_out(tiny: Settings, tmp_path: Path) -> None:
    raw = Shape(48, 32, "yuv420p10le", Fraction(24000, 1001))
    for name, content, options in (
        ("a", rawvideo("-pix_fmt", "yuv420p10le"), {"raw": raw, "kind": "y4m"}),
        ("b", y4m("-pix_fmt", "yuv420p10le"), {}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.y4m").write_bytes(through(content, tiny, tmp_path / name, **options))
    rate, frames = read((tmp_path / "a.y4m").read_bytes(), tmp_path / "c.y4m")
    _, wanted = read((tmp_path / "b.y4m").read_bytes(), tmp_path / "d.y4m")
    assert rate == Fraction(24000, 1001)
    assert [frame.to_ndarray().tobytes() for frame in frames] == [frame.to_ndarray().tobytes() for frame in wanted]


def test_little_is_read_ahead_of_what_is_written(tiny: Settings, tmp_path: Path) -> None:
    """So that memory is bounded whatever the length: the program before waits."""
    given, made = tmp_path / "given", tmp_path / "made"
    os.mkfifo(given)
    os.mkfifo(made)
    frame, sent, ahead = bytes(48 * 32 * 2), [0], [0]

    def send() -> None:
        with given.open("wb", 0) as pipe, suppress(BrokenPipeError):
            for _ in range(300):
                pipe.write(frame)
                sent[0] += 1

    ends = [threading.Thread(target=send, daemon=True), threading.Thread(target=made.read_bytes, daemon=True)]
    for end in ends:
        end.start()
    raw = Shape(48, 32, "gray16le")
    upscale_pipe(
        str(given),
        str(made),
        tiny,
        raw=raw,
        on_frame=lambda count: ahead.append(sent[0] - count),
    )
    assert sent[0] == 300
    assert max(ahead) < 60  # 21 frames are in the pipe itself


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input-format", "rawvideo"], "--input-size and --input-pix-fmt and --fps are missing"),
        (["--input-format", "rawvideo", "--fps", "25", "--input-size", "48x32"], "--input-pix-fmt is missing"),
        (
            ["--input-format", "rawvideo", "--fps", "25", "--input-size", "48", "--input-pix-fmt", "gray"],
            "--input-size 48 must be width and height",
        ),
        (
            ["--input-format", "rawvideo", "--fps", "25", "--input-size", "48x32", "--input-pix-fmt", "x"],
            "--input-pix-fmt x is no pixel format of FFmpeg",
        ),
        (["--input-size", "48x32"], "are for rawvideo; y4m says them itself"),
    ],
)
def test_what_rawvideo_needs_is_asked_for(arguments: list[str], said: str) -> None:
    error = CliRunner().invoke(app, ["-", "-", *arguments]).exception
    assert isinstance(error, SettingsError)
    assert said in error.message


def test_options_of_pipes_are_refused_for_files() -> None:
    error = CliRunner().invoke(app, ["i.mp4", "o.mp4", "--output-format", "y4m"]).exception
    assert isinstance(error, SettingsError)
    assert error.message == "--output-format is for pipes"


def test_rawvideo_of_another_size_or_format_is_said(tiny: Settings, tmp_path: Path) -> None:
    for name, pix_fmt, said in (("a", "yuv444p", "broke off"), ("b", "yuva420p", "is not read")):
        (tmp_path / name).mkdir()
        with pytest.raises(SourceError, match=said):
            through(rawvideo("-pix_fmt", "yuv420p", frames=3), tiny, tmp_path / name, raw=Shape(48, 32, pix_fmt))
    (tmp_path / "d").mkdir()
    with pytest.raises(SettingsError, match="rawvideo of the pixel format yuyv422 is not written"):
        through(rawvideo("-pix_fmt", "yuyv422"), tiny, tmp_path / "d", raw=Shape(48, 32, "yuyv422", Fraction(25)))


def test_three_programs_in_a_pipe() -> None:
    """As a shell starts them; the exit codes are those of the programs, progress goes to standard error."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=48x32:r=25", "-frames:v", "6"]
    first = [FFMPEG, "-v", "error", *source, "-pix_fmt", "yuv422p10le", "-f", "rawvideo", "-"]
    shape = ["--input-format", "rawvideo", "--input-size", "48x32", "--input-pix-fmt", "yuv422p10le", "--fps", "25"]
    second = [sys.executable, "-m", "dossr_video", "-", "-", "--model", "bicubic", "--scale", "2", *shape]
    third = [FFMPEG, "-v", "error", "-f", "rawvideo", "-s", "96x64", "-pix_fmt", "yuv422p10le", "-i", "-"]
    third += ["-f", "framemd5", "-"]
    one = subprocess.Popen(first, stdout=subprocess.PIPE)
    two = subprocess.Popen(second, stdin=one.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    three = subprocess.Popen(third, stdin=two.stdout, stdout=subprocess.PIPE)
    assert one.stdout is not None and two.stdout is not None and two.stderr is not None  # noqa: PT018
    one.stdout.close()
    two.stdout.close()
    lines = three.communicate()[0].decode().splitlines()
    with two.stderr:
        said = two.stderr.read().decode()
    assert (one.wait(), two.wait(), three.wait()) == (0, 0, 0), said
    assert len([line for line in lines if not line.startswith("#")]) == 6
    assert "6 frames" in said


def test_a_program_that_ends_early_gives_one_line_and_exit_code_1() -> None:
    shape = ["--input-format", "rawvideo", "--input-size", "48x32", "--input-pix-fmt", "gray16le", "--fps", "25"]
    command = [sys.executable, "-m", "dossr_video", "-", "-", "--model", "bicubic", "--scale", "4", *shape, "--quiet"]
    two = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert two.stdout is not None
    two.stdout.close()
    with suppress(BrokenPipeError):
        _, said = two.communicate(bytes(48 * 32 * 2 * 40))
    assert two.returncode == 1
    assert [line.partition(":")[0] for line in said.decode().splitlines()] == ["error", "hint"]


def test_standard_input_and_output() -> None:
    command = [sys.executable, "-m", "dossr_video", "-", "-", "--model", "bicubic"]
    done = subprocess.run(command, input=y4m(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"6 frames" in done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W192 H128 F24000:1001")
    assert done.stdout.count(b"FRAME\n") == 6
