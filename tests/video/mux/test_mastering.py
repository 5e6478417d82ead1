"""Masters: MXF and mov with ProRes, DNxHR, JPEG 2000; AV1 of 10 bits; any encoder and its own options."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dossr_video.errors import SettingsError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.read.probe import probe


@pytest.fixture
def plain(tiny: Settings) -> Settings:
    """Encoders for masters have no presets."""
    return tiny.model_copy(update={"speed": None})


def film(media: Any, path: Path, *, sound: str, rate: int = 48000, seconds: float = 0.3, frames: int = 8) -> Path:
    media.ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=128x72:r=25:d={frames / 25}", "-f", "lavfi", "-i",
        f"sine=frequency=500:sample_rate={rate}:duration={seconds}", "-c:v", "ffv1",
        "-pix_fmt", "yuv422p10le", "-c:a", sound, "-metadata:s:a:0", "language=deu", "-timecode", "10:00:00:00", path,
    )  # fmt: skip
    return path


def samples(path: Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "s24le", "-c:a", "pcm_s24le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("encoder", "codec", "pix_fmt"),
    [
        ("prores_ks", "prores", "yuv422p10le"),
        ("dnxhd", "dnxhd", "yuv422p10le"),
        ("jpeg2000", "jpeg2000", "yuv422p10le"),
    ],
)
def test_mxf_holds_a_master_and_its_sound_to_the_sample(
    encoder: str, codec: str, pix_fmt: str, media: Any, tmp_path: Path, plain: Settings
) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s24le")  # 0.30 s of sound, 0.32 s of pictures
    report = run_job(source, tmp_path / "out.mxf", plain.model_copy(update={"encoder": encoder}))
    assert report.proof.passed
    found = probe(tmp_path / "out.mxf")
    assert (found.container, found.video.codec, found.video.pix_fmt) == ("mxf", codec, pix_fmt)
    assert found.metadata["timecode"] == "10:00:00:00"
    assert [stream.codec for stream in found.streams] == ["pcm_s24le"]
    before, after = samples(source), samples(tmp_path / "out.mxf")
    assert len(after) == round(0.32 * 48000) * 3
    assert after == before + bytes(len(after) - len(before))
    named = [line for line in report.lost if line.startswith("the language and title of ")]
    assert len(named) == 1
    assert named[0].endswith(": mxf holds none; .mkv and .mov do")
    with av.open(str(tmp_path / "out.mxf")) as made:
        assert sum(1 for _ in made.decode(video=0)) == 8


def test_jpeg2000_is_lossless(media: Any, tmp_path: Path, plain: Settings) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s16le")
    run_job(source, tmp_path / "out.mxf", plain.model_copy(update={"encoder": "jpeg2000"}))
    run_job(source, tmp_path / "out.mkv", plain.model_copy(update={"encoder": "ffv1"}))
    with av.open(str(tmp_path / "out.mxf")) as one, av.open(str(tmp_path / "out.mkv")) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0), strict=True):
            assert a.format.name == b.format.name
            assert all(
                np.array_equal(np.frombuffer(x, np.uint16), np.frombuffer(y, np.uint16))
                for x, y in zip(a.planes, b.planes, strict=True)
            )


def test_longer_sound_ends_with_the_picture_and_is_told(media: Any, tmp_path: Path, plain: Settings) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s16le", seconds=0.5)
    report = run_job(source, tmp_path / "out.mxf", plain)
    assert report.warnings == ("0.180 s of sound before the first picture or after the last are left out",)
    assert samples(tmp_path / "out.mxf") == samples(source)[: round(0.32 * 48000) * 3]


def test_a_part_is_cut_to_the_sample(media: Any, tmp_path: Path, plain: Settings) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s24le", seconds=0.32)
    run_job(source, tmp_path / "out.mxf", plain.model_copy(update={"start": 0.08, "duration": 0.16}))
    block = 3
    assert samples(tmp_path / "out.mxf") == samples(source)[round(0.08 * 48000) * block : round(0.24 * 48000) * block]
    assert probe(tmp_path / "out.mxf").metadata["timecode"] == "10:00:00:02"


@pytest.mark.parametrize(
    ("sound", "rate", "said"),
    [
        ("aac", 48000, "mxf does not support aac audio: converted to 24-bit PCM; .mov and .mkv keep it"),
        ("pcm_s16le", 44100, "mxf holds sound of 48000 Hz, not of 44100: converted to 16-bit PCM; .mov and .mkv keep"),
    ],
)
def test_sound_that_mxf_does_not_hold_is_converted_and_told(
    sound: str, rate: int, said: str, media: Any, tmp_path: Path, plain: Settings
) -> None:
    source = film(media, tmp_path / "in.mkv", sound=sound, rate=rate)
    report = run_job(source, tmp_path / "out.mxf", plain)
    assert any(said in line for line in report.processing)
    assert len(samples(tmp_path / "out.mxf")) == round(0.32 * 48000) * 3


def test_av1_keeps_ten_bits(media: Any, tmp_path: Path, tiny: Settings) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s16le")
    run_job(source, tmp_path / "out.mkv", tiny.model_copy(update={"encoder": "libsvtav1", "speed": "8", "crf": 10.0}))
    found = probe(tmp_path / "out.mkv").video
    assert (found.codec, found.pix_fmt) == ("av1", "yuv420p10le")


@pytest.mark.parametrize(
    ("encoder", "name", "codec", "options"),
    [
        ("mpeg2video", "out.mxf", "mpeg2video", "b=20M,g=1"),
        ("jpeg2000", "out.mkv", "jpeg2000", None),
        ("jpeg2000", "out.mov", "jpeg2000", None),
        ("ffv1", "out.mp4", None, None),  # FFmpeg writes it, and nobody reads it
        ("mjpeg", "out.mov", "mjpeg", "strict=unofficial,qmin=1,qmax=2"),
        ("utvideo", "out.mkv", None, None),
        ("libx264rgb", "out.mkv", "h264", "crf=0,preset=ultrafast"),
        ("hevc_qsv", "out.mkv", None, None),
    ],
)
def test_any_encoder_of_ffmpeg_or_a_refusal_before_the_work(
    encoder: str, name: str, codec: str | None, options: str | None, media: Any, tmp_path: Path, plain: Settings
) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s16le")
    settings = plain.model_copy(update={"encoder": encoder, "encoder_options": options})
    if codec is None:
        with pytest.raises(SettingsError):
            run_job(source, tmp_path / name, settings)
        assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    else:
        assert run_job(source, tmp_path / name, settings).proof.passed
        assert probe(tmp_path / name).video.codec == codec


def test_options_of_an_encoder_reach_it(media: Any, tmp_path: Path, plain: Settings) -> None:
    source = film(media, tmp_path / "in.mkv", sound="pcm_s16le")
    for profile, tag in (("proxy", "apco"), ("lt", "apcs"), (None, "apch")):
        options = None if profile is None else f"profile={profile}"
        run_job(
            source,
            tmp_path / f"{profile}.mov",
            plain.model_copy(update={"encoder": "prores_ks", "encoder_options": options}),
        )
        assert tag_of(tmp_path / f"{profile}.mov") == tag
    run_job(source, tmp_path / "4444.mov", plain.model_copy(update={"encoder": "prores_ks", "pix_fmt": "yuv444p10le"}))
    assert tag_of(tmp_path / "4444.mov") == "ap4h"


def tag_of(path: Path) -> str:
    """By which players know the flavour of ProRes."""
    with av.open(str(path)) as made:
        return made.streams.video[0].codec_context.codec_tag


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"encoder": "libx265x"}, "no video encoder 'libx265x'", "did you mean libx265"),
        ({"encoder_options": "profil=lt"}, "libx264 has no option 'profil'", "did you mean profile"),
        ({"encoder_options": "crf"}, "'crf' must be NAME=VALUE", "for example"),
        ({"encoder": "prores_ks", "encoder_options": "profile=best"}, "prores_ks refuses", "profile=best"),
        ({"encoder": "dpx"}, "do not hold what dpx makes", "name the target"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(
    changes: dict[str, str], message: str, hint: str, sample: Path, tmp_path: Path, plain: Settings
) -> None:
    with pytest.raises(SettingsError) as error:
        run_job(sample, tmp_path / "o.mkv", plain.model_copy(update=changes))
    assert message in error.value.message
    assert hint in error.value.hint or hint in error.value.message
    assert not list(tmp_path.iterdir())
