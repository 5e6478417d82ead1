"""Frames in memory: what callers hold comes back alike, whole or as a stream."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import dossr_video
from dossr_video import api
from dossr_video.errors import FramesError, SettingsError
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.models.base import PictureModel


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("o\0.mp4", "embedded null byte"),
        ("x" * 300 + "/o.mp4", "File name too long"),
        ("loop/o.mp4", "Too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize("where", ["source", "target", "audio"])
def test_a_path_that_no_file_can_have_is_refused(
    where: str, name: str, reason: str, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    paths = {"source": clip, "target": tmp_path / "o.mp4", where: tmp_path / name}
    if where == "audio":
        paths["audio"] = (str(paths["audio"]),)
    with pytest.raises(SettingsError, match=f"cannot be a file: {reason}"):
        dossr_video.upscale(model="bicubic", **paths)


@pytest.fixture(scope="module")
def compact() -> PictureModel:
    return dossr_video.load_model("compact", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def bicubic() -> PictureModel:
    return dossr_video.load_model("bicubic", device="cpu", dtype="float32")


def as_bytes(frames: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return frames.mul(255).round().byte().permute(0, 2, 3, 1).numpy()


def test_arrays_tensors_lists_and_pictures_give_the_same_frames(moving: Tensor, compact: PictureModel) -> None:
    array = as_bytes(moving[:3])
    large = dossr_video.upscale_frames(array, model=compact, scale=2)
    assert large.shape == (3, 64, 80, 3)
    assert large.dtype == np.uint8
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2).float() / 255
    assert np.array_equal(as_bytes(dossr_video.upscale_frames(tensor, model=compact, scale=2)), large)
    pictures = dossr_video.upscale_frames([Image.fromarray(frame) for frame in array], model=compact, scale=2)
    assert np.array_equal(np.stack([np.asarray(picture) for picture in pictures]), large)
    reversed_twice = dossr_video.upscale_frames(array[..., ::-1][..., ::-1], model=compact, scale=2)
    assert np.array_equal(reversed_twice, large)


def test_one_frame_in_one_frame_out(moving: Tensor, bicubic: PictureModel) -> None:
    frame = as_bytes(moving)[0]
    assert dossr_video.upscale_frames(frame, model=bicubic).shape == (128, 160, 3)
    assert dossr_video.upscale_frames(Image.fromarray(frame), model=bicubic).size == (160, 128)


def test_grey_and_opacity_are_kept(moving: Tensor, bicubic: PictureModel) -> None:
    array = as_bytes(moving[:2])
    assert dossr_video.upscale_frames(array[..., 0], model=bicubic, scale=2).shape == (2, 64, 80)
    opaque = np.concatenate([array, np.full_like(array[..., :1], 200)], axis=-1)
    large = dossr_video.upscale_frames(opaque, model=bicubic, scale=2)
    assert large.shape == (2, 64, 80, 4)
    assert (large[..., 3] == 200).all()


def test_a_stream_gives_the_same_bit_for_bit_and_reads_little_ahead(moving: Tensor, compact: PictureModel) -> None:
    other = moving.flip(0).roll(17, -1) * 0.3
    frames = torch.cat([moving, other])
    whole = dossr_video.upscale_frames(frames, model=compact, scale=2, chunk=3)
    taken = 0

    def source() -> Any:
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    for given, (frame, expected) in enumerate(
        zip(dossr_video.upscale_stream(source(), model=compact, scale=2, chunk=3), whole, strict=True)
    ):
        assert torch.equal(frame, expected)
        assert taken <= given + 3 + 4  # a chunk, three frames ahead, and the one that is asked for
    assert taken == len(frames)


def test_no_frames_are_no_frames(bicubic: PictureModel) -> None:
    assert dossr_video.upscale_frames([], model=bicubic) == []
    assert dossr_video.upscale_frames(np.zeros((0, 8, 9, 3), np.uint8), model=bicubic).shape[0] == 0


def test_settings_come_as_a_mapping_or_as_keywords(moving: Tensor, bicubic: PictureModel) -> None:
    by_mapping = dossr_video.upscale_frames(moving[:1], model=bicubic, settings={"scale": 3})
    assert by_mapping.shape[-1] == 120
    both = dossr_video.upscale_frames(moving[:1], model=bicubic, settings=dossr_video.Settings(scale=3), scale=2)
    assert both.shape[-1] == 80
    with pytest.raises(SettingsError, match="--scal is not an option"):
        dossr_video.upscale_frames(moving[:1], model=bicubic, scal=2)


def test_what_does_not_fit_is_refused_before_a_frame_is_asked_for(bicubic: PictureModel) -> None:
    def never() -> Any:
        raise AssertionError("asked for a frame")
        yield

    with pytest.raises(SettingsError, match="samples nothing"):
        dossr_video.upscale_stream(never(), model=bicubic, steps=3)


FRAME = np.zeros((8, 12, 3), np.uint8)
WRONG: dict[str, Any] = {
    "a source that is no path": lambda: dossr_video.upscale(None, "o.mp4"),  # type: ignore[arg-type]
    "settings that are a list": lambda: dossr_video.upscale("i.mp4", "o.mp4", ["crf"]),  # type: ignore[arg-type]
    "a setting without a name": lambda: dossr_video.upscale("i.mp4", "o.mp4", {3: 4}),  # type: ignore[dict-item]
    "a value out of range": lambda: dossr_video.Settings(crf=-1),
    "a model that is a number": lambda: dossr_video.load_model(5),  # type: ignore[arg-type]
    "a model that is not there": lambda: dossr_video.upscale_frames(FRAME, model="nope"),
    "a file that is not there": lambda: dossr_video.upscale_frames(FRAME, model=Path("nope.pth")),
    "frames that are a number": lambda: dossr_video.upscale_stream(3, model="bicubic"),  # type: ignore[arg-type]
    "a frame without pixels": lambda: dossr_video.upscale_frames(FRAME[:0], model="bicubic"),
    "a meta tensor": lambda: dossr_video.upscale_frames(torch.zeros(3, 8, 12, device="meta"), model="bicubic"),
    "a sparse tensor": lambda: dossr_video.upscale_frames(torch.zeros(3, 8, 12).to_sparse(), model="bicubic"),
    "a scheduler without calls": lambda: dossr_video.DossrScheduler().set_timesteps(0),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_wrong_argument_is_an_error_with_a_hint(wrong: str) -> None:
    with pytest.raises(dossr_video.DossrError) as refused:
        WRONG[wrong]()
    assert refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_progress": []}, "on_progress= is of type list"),
        ({"cancelled": Event()}, "cancelled= is of type Event"),
        ({"executor": "ray"}, "executor= is of type str"),
    ],
)
def test_what_is_called_later_is_looked_at_before(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        dossr_video.upscale("in.mp4", "out.mp4", **options)


def test_a_flow_is_looked_at_before() -> None:
    with pytest.raises(SettingsError, match="flow= is of type str"):
        dossr_video.upscale_stream([FRAME], model="bicubic", flow="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (lambda source, target: None, "flow= gives NoneType: it must be a tensor (1, 2, 32, 40)"),
        (lambda source, target: source[:, :2].numpy(), "flow= gives ndarray"),
        (lambda source, target: source[:, :2, :3, :3], "flow= gives (1, 2, 3, 3)"),
        (lambda source, target: source[:, :2] * torch.nan, "flow= gives numbers that are not finite"),
    ],
)
def test_a_flow_of_ones_own_gives_a_flow(moving: Tensor, compact: PictureModel, flow: Any, message: str) -> None:
    with pytest.raises(FramesError, match=re.escape(message)):
        dossr_video.upscale_frames(moving, model=compact, flow=flow)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "cpu"),
        ("dtype", "float32"),
        ("engine", "torch"),
        ("offload", "on"),
        ("prompt", "sharp"),
        ("negative_prompt", "dull"),
        ("cfg_scale", 2.0),
    ],
)
def test_what_a_model_is_loaded_with_does_not_fit_one_that_is_loaded(
    bicubic: PictureModel, tmp_path: Path, name: str, value: Any
) -> None:
    calls: list[Any] = [
        lambda **options: dossr_video.upscale_frames(FRAME, **options),
        lambda **options: dossr_video.upscale_stream([FRAME], **options),
        lambda **options: dossr_video.upscale(tmp_path / "in.mp4", tmp_path / "out.mp4", **options),
    ]
    for call in calls:
        with pytest.raises(SettingsError, match=f"{name}= with a model that is loaded already"):
            call(model=bicubic, **{name: value})
    with_others = dossr_video.upscale_frames(FRAME, model=bicubic, settings={name: value})
    assert np.array_equal(with_others, dossr_video.upscale_frames(FRAME, model=bicubic))


def test_a_loaded_model_and_an_executor_do_not_fit(bicubic: PictureModel, tmp_path: Path) -> None:
    executor = LocalExecutor(worker_spec(dossr_video.Settings()), model=bicubic)
    with pytest.raises(SettingsError, match="executor= has its own"):
        dossr_video.upscale(tmp_path / "in.mp4", tmp_path / "out.mp4", model=bicubic, executor=executor)


def test_a_model_may_be_named(bicubic: PictureModel) -> None:
    named = dossr_video.upscale_frames(FRAME, model="bicubic", scale=2)
    assert np.array_equal(named, dossr_video.upscale_frames(FRAME, model=bicubic, scale=2))


def test_frames_of_several_sizes_are_refused(moving: Tensor, bicubic: PictureModel) -> None:
    with pytest.raises(FramesError, match="a frame of 40x30 follows one of 40x32"):
        dossr_video.upscale_frames([moving[0], moving[0, :, :30]], model=bicubic)


def test_a_loaded_model_serves_files(sample: Path, tmp_path: Path, bicubic: PictureModel) -> None:
    report = dossr_video.upscale(sample, tmp_path / "out.mkv", model=bicubic, scale=2, duration=0.2)
    assert report.frames == 5
    expected = dossr_video.upscale(sample, tmp_path / "named.mkv", {"model": "bicubic", "duration": 0.2}, scale=2)
    assert expected.target.size == report.target.size


def test_progress_is_shown_where_it_is_asked_for(
    sample: Path, tmp_path: Path, bicubic: PictureModel, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dossr_video.Progress] = []
    for name, shown in (("a.mp4", True), ("b.mp4", False)):
        options: dict[str, Any] = {"model": bicubic, "duration": 0.2, "progress": shown, "on_progress": seen.append}
        dossr_video.upscale(sample, tmp_path / name, **options)
        assert ("5/5 frames" in capsys.readouterr().err) == shown
        assert (seen[-1].stage, seen[-1].done) == ("verifying", 5)


def test_everything_is_found_by_tab() -> None:
    assert set(dossr_video.__all__) <= set(dir(dossr_video))
    # In a process of its own: there nothing was imported before, such as torchvision's declarations.
    code = "import dossr_video; print(all(getattr(dossr_video, name) is not None for name in dir(dossr_video)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_the_examples_in_the_docstrings_run() -> None:
    results = doctest.testmod(api)
    assert results.attempted >= 3
    assert results.failed == 0
