"""--compatible writes what most players show; what they do not is told."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from dossr_video.errors import SettingsError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.write.players import compatible_encoding, h264_level, refused_by_players
from dossr_video.video.write.spec import make_spec
from dossr_video.video.write.writer import VideoWriter


@pytest.fixture(scope="module")
def deep(media, tmp_path_factory) -> Path:
    """10 bits, 4:4:4, sides that are odd when they are tripled."""
    path = tmp_path_factory.mktemp("players") / "deep.mkv"
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=130x98:rate=25:duration=0.3,scale=65:49"],
        *["-c:v", "ffv1", "-pix_fmt", "yuv444p10le", path],
    )
    return path


def test_levels_are_those_of_the_standard() -> None:
    assert h264_level(1920, 1080, Fraction(50)) == "4.2"
    assert h264_level(2560, 1440, Fraction(25)) == "5"
    assert h264_level(3840, 2160, Fraction(25)) == "5.1"
    assert h264_level(3840, 2160, Fraction(50)) == "5.2"
    assert h264_level(4096, 2304, Fraction(60)) == "6"
    assert h264_level(7680, 4320, Fraction(60)) == "6.1"
    assert h264_level(16000, 200, Fraction(25)) == "6"  # too wide for level 5.2
    assert h264_level(32768, 16, Fraction(25)) is None


def test_hevc_takes_what_is_too_large_for_h264() -> None:
    wanted = Settings(compatible=True)
    large = compatible_encoding(wanted, width=7680, height=4320, rate=Fraction(25))
    assert (large.encoder, large.pix_fmt, large.level) == ("libx265", "yuv420p", None)
    film = compatible_encoding(wanted, width=3840, height=2160, rate=Fraction(25))
    assert (film.encoder, film.pix_fmt, film.level) == ("libx264", "yuv420p", "5.2")
    with pytest.raises(SettingsError, match="no player shows 9600x5400 at 25 frames/s"):
        compatible_encoding(wanted, width=9600, height=5400, rate=Fraction(25))


def test_a_slow_preset_stays_within_the_level(deep: Path, tmp_path: Path) -> None:
    """Its 16 reference frames would need level 6 at this size."""
    settings = Settings(compatible=True, speed="veryslow")
    spec = make_spec(probe(deep).video, (), settings, tmp_path / "x.mp4", width=2560, height=1440)
    levels = []
    for level in ("5.2", None):
        path = tmp_path / f"{level}.mp4"
        with VideoWriter(path, replace(spec, encoding=replace(spec.encoding, level=level))) as writer:
            writer.write(torch.zeros(1, 1, 1).expand(3, 1440, 2560), 0)
        with av.open(str(path)) as container:
            levels.append((container.streams.video[0].codec_context.extradata or bytes(4))[3])
    assert levels == [52, 60]


def test_a_result_that_players_show(deep: Path, tmp_path: Path) -> None:
    target, notes = tmp_path / "out.mp4", list[str]()
    settings = Settings.of({"model": "bicubic", "scale": 3, "compatible": True})
    report = run_job(deep, target, settings, on_progress=lambda event: notes.extend(event.notes))
    assert "10 bits: libx264 writes yuv420p" in report.lost
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.profile, context.pix_fmt, context.codec_tag) == ("High", "yuv420p", "avc1")
        assert (context.width, context.height) == (196, 148)
    assert not any("many do not show" in note for note in notes)


def test_one_that_many_do_not_show_is_told(deep: Path, tmp_path: Path) -> None:
    target, notes = tmp_path / "out.mp4", list[str]()
    settings = Settings.of({"model": "bicubic", "scale": 2})
    line = "players: many do not show H.264 with High 10 (10 bits) and 4:4:4 chroma; --compatible writes what most show"
    assert line in analyse(probe(deep), settings, target=target).explain()
    run_job(deep, target, settings, on_progress=lambda event: notes.extend(event.notes))
    assert line in notes


def test_archives_are_not_meant_and_large_frames_are(deep: Path, tmp_path: Path) -> None:
    def refused(name: str, width: int, height: int, **options: object) -> str | None:
        container = analyse(probe(deep), Settings.of(options), target=tmp_path / name).video
        assert container is not None
        return refused_by_players(container.encoding, width=width, height=height, rate=Fraction(25))

    assert refused("x.mkv", 64, 48, encoder="ffv1") is None
    assert refused("x.mp4", 64, 48, pix_fmt="yuv420p", scale=2) is None
    assert refused("x.mp4", 7680, 4320, pix_fmt="yuv420p", scale=2) == "H.264 with level 6"
    assert refused("x.mp4", 64, 48, encoder="libx265") == "HEVC with 4:4:4 chroma"


def test_it_does_not_go_with_an_encoder_or_a_format() -> None:
    for option in ({"encoder": "libx265"}, {"pix_fmt": "yuv444p"}):
        with pytest.raises(SettingsError, match="--compatible chooses the encoder and the pixel format; leave --"):
            Settings.of({"compatible": True, **option})
