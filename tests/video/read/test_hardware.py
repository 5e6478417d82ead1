"""Decoding and encoding by hardware: what is not there is told, and the pictures are those of the CPU."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from dossr_video import Settings
from dossr_video.errors import SettingsError
from dossr_video.jobs.run import run_job
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read import hardware
from dossr_video.video.read.hardware import DEVICES, accelerator_for, decoding_device, missing
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.write.available import available

ABSENT = next(device for device in DEVICES if missing(device, "h264") is not None)  # no machine has all


def digests(path: Path, hwaccel: str | None) -> list[str]:
    with PyavReader(path, hwaccel=hwaccel) as reader:
        return [frame.digest() for frame in reader.frames()]


def test_hardware_that_is_not_there_is_told_and_the_cpu_decodes(media, tiny: Settings, tmp_path: Path) -> None:
    source = media("plain.mp4")
    settings = tiny.model_copy(update={"hwaccel": ABSENT, "duration": 0.2})
    plan = analyse(probe(source), settings)
    assert plan.read.hwaccel is None
    (told,) = [str(finding) for finding in plan.findings if finding.topic == "decoding"]
    assert told.startswith(f"decoding: {ABSENT} does not decode h264 here (")
    assert told.endswith("); the CPU decodes")
    notes: list[str] = []
    run_job(source, tmp_path / "out.mp4", settings, on_progress=lambda event: notes.extend(event.notes))
    assert told in notes


def test_by_default_nobody_asks_for_hardware(media) -> None:
    plan = analyse(probe(media("plain.mp4")), Settings())
    assert plan.read.hwaccel is None
    assert "decoding" not in {finding.topic for finding in plan.findings}
    assert decoding_device("off", "h264") == (None, "")
    assert decoding_device("auto", "png") == (None, "no hardware here decodes png")


def test_a_file_is_opened_with_the_device_and_what_it_does_not_decode_the_cpu_does(media, monkeypatch) -> None:
    source = media("plain.mp4")
    expected = digests(source, None)
    assert accelerator_for(ABSENT, "h264") is None
    assert digests(source, ABSENT) == expected
    monkeypatch.setattr(hardware, "missing", lambda device, codec: None)  # as if it were there
    given, opened = [], av.open
    monkeypatch.setattr(
        av, "open", lambda *args, **options: given.append(options["hwaccel"]) or opened(*args, **options)
    )
    assert digests(source, "videotoolbox") == expected
    assert [type(each).__name__ for each in given] == ["NoneType", "HWAccel"]  # `probe`, then the reader


def test_an_encoder_whose_hardware_is_not_there_is_refused_before_the_work(
    media, tiny: Settings, tmp_path: Path
) -> None:
    names = [info.name for info in available() if info.missing is not None and info.name.startswith("h264_")]
    if not names:
        pytest.skip("this FFmpeg has no encoder of H.264 whose hardware is missing")
    settings = tiny.model_copy(update={"encoder": names[0], "crf": None, "speed": None})
    with pytest.raises(SettingsError, match=f"{names[0]} refuses") as refusal:
        run_job(media("plain.mp4"), tmp_path / "out.mp4", settings)
    assert "use --encoder libx264, which makes the same without" in refusal.value.hint
    assert not list(tmp_path.iterdir())


def test_both_readers_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match="--hwaccel and --reader decord"):
        Settings(hwaccel="auto", reader="decord")


@pytest.mark.gpu
def test_the_gpu_decodes_the_same_pictures(media) -> None:
    assert missing("cuda", "h264") is None
    assert digests(media("plain.mp4"), "cuda") == digests(media("plain.mp4"), None)


@pytest.mark.gpu
def test_the_gpu_encodes(media, tiny: Settings, tmp_path: Path) -> None:
    settings = tiny.model_copy(update={"encoder": "hevc_nvenc", "crf": None, "speed": None, "hwaccel": "cuda"})
    report = run_job(media("plain.mp4"), tmp_path / "out.mp4", settings)
    with av.open(str(tmp_path / "out.mp4")) as result:
        assert sum(1 for _ in result.decode(video=0)) == report.frames
