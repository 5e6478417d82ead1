"""Which picture of a file is upscaled: the first that moves, or by --video and --program."""

from __future__ import annotations

from pathlib import Path

import pytest

from dossr_video.errors import SettingsError, SourceError
from dossr_video.jobs.report import Report
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.info import Choice
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.programs import programs_of
from dossr_video.video.read.pyav import PyavReader

X264 = ["-c:v", "libx264", "-threads", "1", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10"]


@pytest.fixture(scope="module")
def stills_first(media, tmp_path_factory) -> Path:
    """A still, a film of 64x48 and one of 48x32."""
    path = tmp_path_factory.mktemp("choice") / "three.mkv"
    media.ffmpeg(
        *["-f", "lavfi", "-i", "color=red:size=32x32:rate=25:duration=0.04"],
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.6"],
        *["-f", "lavfi", "-i", "testsrc2=size=48x32:rate=25:duration=0.4,negate"],
        *["-map", "0", "-map", "1", "-map", "2", "-c:v:0", "mjpeg", "-c:v:1", "libx264", "-c:v:2", "libx264"],
        *["-threads", "1", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path],
    )
    return path


@pytest.fixture(scope="module", params=[188, 192])
def programs(request: pytest.FixtureRequest, media, tmp_path_factory) -> Path:
    """Program 5: 64x48 with a tone; program 9, whose clock is an hour ahead: 48x32 with another."""
    folder = tmp_path_factory.mktemp("programs")
    path = folder / ("two.ts" if request.param == 188 else "two.m2ts")
    for number, (size, offset) in enumerate((("64x48", "0"), ("48x32", "3600"))):
        media.ffmpeg(
            *["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.8"],
            *["-f", "lavfi", "-i", f"sine=frequency={440 + 220 * number}:duration=0.8", *X264, "-c:a", "mp2"],
            *["-output_ts_offset", offset, folder / f"{number}.ts"],
        )
    media.ffmpeg(
        *["-i", folder / "0.ts", "-i", folder / "1.ts", "-map", "0", "-map", "1", "-c", "copy", "-copyts"],
        *["-program", "program_num=5:st=0:st=1", "-program", "program_num=9:st=2:st=3"],
        folder / "two.ts",
    )
    content = (folder / "two.ts").read_bytes()
    timed = (bytes(4) + content[at : at + 188] for at in range(0, len(content), 188))
    path.write_bytes(content if request.param == 188 else b"".join(timed))
    return path


def _size(path: Path, **choice: int) -> tuple[int, int]:
    video = probe(path, choice=Choice(**choice)).video
    return video.width, video.height


def test_the_first_that_moves_is_taken_or_the_one_that_is_named(stills_first: Path) -> None:
    assert _size(stills_first) == (64, 48)
    assert [_size(stills_first, video=number) for number in range(3)] == [(32, 32), (64, 48), (48, 32)]
    lines = analyse(probe(stills_first), Settings()).explain()
    assert "streams: video streams 0 (mjpeg), 1 (h264), 2 (h264); 1 is upscaled; --video chooses" in lines


def test_a_number_that_is_none_is_told_what_there_is(stills_first: Path, programs: Path) -> None:
    with pytest.raises(SourceError, match=r"no video stream 7; it has 0 \(mjpeg, 32x32\), 1 \(h264, 64x48\), 2 \("):
        probe(stills_first, choice=Choice(video=7))
    with pytest.raises(SourceError, match="has no program 1; it has none"):
        probe(stills_first, choice=Choice(program=1))
    with pytest.raises(SourceError, match="has no program 7; its programs are 5, 9"):
        probe(programs, choice=Choice(program=7))
    with pytest.raises(SourceError, match=r"no video stream 2 in program 5; it has 0 \(h264, 64x48, program 5\)"):
        probe(programs, choice=Choice(video=2, program=5))


def test_the_named_one_is_upscaled_the_others_are_copied(stills_first: Path, tmp_path: Path) -> None:
    settings = Settings.of({"model": "bicubic", "scale": 2, "video": 2, "speed": "ultrafast"})
    notes: list[str] = []
    report = run_job(stills_first, tmp_path / "out.mkv", settings, on_progress=lambda event: notes.extend(event.notes))
    assert report.proof.passed
    assert report.frames == 10
    assert any(note.startswith("video stream 2, h264, 48x32") for note in notes)
    assert _size(tmp_path / "out.mkv", video=2) == (96, 64)
    assert _size(tmp_path / "out.mkv", video=1) == (64, 48)


def test_programs_are_found_by_their_tables(programs: Path, media, sample: Path) -> None:
    found = programs_of(programs)
    assert list(found) == [5, 9]
    assert [len(ids) for ids in found.values()] == [2, 2]
    assert programs_of(sample) == {}


def test_one_program_is_written_with_its_own_streams_and_clock(programs: Path, tmp_path: Path) -> None:
    options = {"model": "bicubic", "scale": 2, "speed": "ultrafast"}
    assert _run(programs, tmp_path / "first.mkv", options).source.streams[1].startswith("audio stream 1 ")
    report = _run(programs, tmp_path / "second.mkv", {**options, "program": 9, "strict": True})
    assert report.proof.passed
    assert report.lost == ()
    assert report.source.streams[1].startswith("audio stream 3 ")
    result = probe(tmp_path / "second.mkv")
    assert (result.video.width, result.video.height, len(result.streams)) == (96, 64, 1)
    assert result.duration is not None
    assert result.duration < 2
    with PyavReader(tmp_path / "second.mkv") as reader:
        assert next(reader.frames()).pts * reader.time_base < 0.1


def test_programs_that_are_left_out_are_named(programs: Path, tmp_path: Path) -> None:
    lost = analyse(probe(programs), Settings(), target=tmp_path / "out.mkv").lost
    assert lost == ("program 9: a result holds one; --program 9 takes it",)
    with pytest.raises(SettingsError, match="--strict: program 9"):
        analyse(probe(programs), Settings(strict=True), target=tmp_path / "out.mkv")


def _run(source: Path, target: Path, options: dict[str, object]) -> Report:
    return run_job(source, target, Settings.of(options))
