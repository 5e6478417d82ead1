"""Networks run by ncnn give what PyTorch makes of them: other sizes, more layers, by strips, with any threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video import Settings, upscale_frames
from dossr_video.errors import ModelError, SettingsError
from dossr_video.frames import Motion
from dossr_video.models.compact import by_ncnn
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.large.model import LargeModel, load_networks
from dossr_video.models.ncnn import LEAST_ROWS, NcnnNetwork, NcnnStream, run_by_ncnn
from dossr_video.models.registry import load_model, resolve_engine
from dossr_video.models.rrdbnet import RRDBNet
from dossr_video.temporal.flow import DisFlow, motion

CPU = torch.device("cpu")
HALF = 0.5 / 255


class Layers(nn.Module):
    """Every kind of layer, with two inputs and two results of other sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(5, 8, 1, bias=False)
        self.slope = nn.PReLU(8)
        self.third = nn.Conv2d(16, 12, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.first(x), self.second(y)
        both = torch.add(self.slope(first), second, alpha=0.5) + first * second
        both += F.leaky_relu(first, 0.1)
        wide = F.pixel_shuffle(self.third(torch.cat((F.silu(both), first), 1)), 2)
        return both, F.interpolate(wide, scale_factor=2, mode="nearest")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("height", [5, LEAST_ROWS * 2 + 3])  # as a whole, and by strips
def test_every_layer(height: int) -> None:
    layers = Layers()
    x, y = torch.rand(2, 3, height, 9), torch.rand(2, 5, height, 9)
    for wanted, found in zip(layers(x, y), NcnnNetwork(layers)(x, y), strict=True):
        assert torch.allclose(wanted, found, atol=1e-5)
    nothing = NcnnNetwork(layers)(x, None)[0]
    assert torch.allclose(layers(x, torch.zeros_like(y))[0], nothing, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 2, stride=2), nn.Flatten()])
def test_a_layer_that_is_not_known_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ModelError, match="ncnn"):
        run_by_ncnn(nn.Sequential(layer), "forward")


def test_threads_change_nothing() -> None:
    network = RRDBNet(features=16, blocks=1, growth=8)
    picture, threads, results = torch.rand(1, 3, 40, 37), torch.get_num_threads(), []
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            results.append(NcnnNetwork(network)(picture))
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(*results)
    assert torch.allclose(results[0], network(picture), atol=1e-5)


class Chain(nn.Module):
    """Layers one behind the other, with two inputs and two results that are late by different rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(5, 8, 3, padding=1, bias=False)
        self.slope, self.point = nn.PReLU(8), nn.Conv2d(8, 6, 1)
        self.third, self.fourth = nn.Conv2d(6, 9, 5, padding=2), nn.Conv2d(9, 4, 3, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        features = self.third(self.point(self.slope(self.first(x) + self.second(y))))
        return features, self.fourth(features)


@pytest.mark.parametrize("heights", [[3], [5], [5, 1], [5, 5, 7, 2], [9, 1, 1, 6]])
def test_a_stream_of_strips_is_the_whole(heights: list[int]) -> None:
    layers, height = Chain(), sum(heights)
    x, y = torch.rand(1, 3, height, 11), torch.rand(1, 5, height, 11)
    stream = NcnnStream(layers)
    assert stream.least == 5
    for _ in range(2):  # nothing is left behind
        parts = list(stream(zip(x.split(heights, 2), y.split(heights, 2), strict=True)))
        assert len(parts) == len(heights)
        for wanted, found in zip(layers(x, y), zip(*parts, strict=True), strict=True):
            assert torch.allclose(wanted, torch.cat(found, 2), atol=1e-5)


def test_what_is_late_by_different_rows_is_no_stream() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(x)

    with pytest.raises(ModelError, match="late"):
        NcnnStream(Residual())


@pytest.mark.parametrize("convolutions", [2, 5])
def test_a_restorer_of_other_sizes(convolutions: int) -> None:
    restorer = Restorer(features=12, convolutions=convolutions, scale=2)
    features = restorer.enter(torch.rand(1, 3, 20, 30), None)
    for wanted, found in zip(restorer.go_through(features), NcnnNetwork(restorer, "go_through")(features), strict=True):
        assert torch.allclose(wanted, found, atol=1e-5)


@pytest.mark.parametrize("rows", [by_ncnn.ROWS, 1])  # one strip, and as many as the layers allow
def test_compact_agrees_to_half_a_code(moving: Tensor, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_ncnn, "ROWS", rows)
    frames = moving[:3]
    moved = motion(None, frames, DisFlow())
    models = [load_model("compact", device="cpu", dtype="float32", engine=engine) for engine in ("torch", "ncnn")]
    assert [model.engine for model in models] == ["torch", "ncnn"]
    close(*(model.restore(frames, moved, None).pictures for model in models))


def test_large_agrees_to_half_a_code(moving: Tensor) -> None:
    networks, digest = load_networks()
    del networks.x4plus.body[2:]  # the rest is like them
    frames = moving[:2, :, :16, :16]
    pictures = []
    for engine in ("torch", "ncnn"):
        model = LargeModel(networks, name="large", digest=digest, device=CPU, dtype=torch.float32, engine=engine)
        restored = model.restore(frames, motion(None, frames, DisFlow()), None)
        latents = model.encode(restored.pictures)
        pictures.append(model.decode(model.denoise(latents, 499, model.condition(restored, latents))))
    close(*pictures)


def test_threads_that_wait_do_not_keep_a_core_busy() -> None:
    """Its OpenMP is told before it is loaded; so in a process of its own."""
    code = (
        "import os, sys; from torch import nn; from dossr_video.models.ncnn import NcnnNetwork\n"
        "assert 'ncnn' not in sys.modules\n"
        "NcnnNetwork(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))); print(os.environ['GOMP_SPINCOUNT'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_threads_and_chunks_give_the_same_bits_on_larger_frames() -> None:
    """PyTorch shares sums to one value out among its threads from 32,768 values on."""
    picture = F.interpolate(torch.rand(1, 3, 18, 32), (145, 257), mode="bicubic").clamp(0, 1)
    frames = torch.cat([picture, 0.9 * picture.roll(3, 3)])
    threads, results = torch.get_num_threads(), []
    for count, chunk in ((1, 1), (2, 2)):
        torch.set_num_threads(count)
        try:
            model = load_model("compact", device="cpu", engine="ncnn")
            results.append(upscale_frames(frames, model=model, settings=Settings(chunk=chunk)))
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(*results)


def close(picture: Tensor, other: Tensor) -> None:
    assert (picture - other).abs().max() < HALF
    assert not torch.equal(picture, other)  # another engine really ran


def test_without_motion_the_first_frame_begins_anew(moving: Tensor) -> None:
    model = load_model("compact", device="cpu", engine="ncnn")
    frames = moving[:1, :, :16, :16]
    still = Motion(torch.zeros(1, 2, 16, 16), torch.ones(1, 1, 16, 16))
    first = model.restore(frames, still, None)
    again = model.restore(frames, still, first.hidden)
    assert torch.equal(first.pictures, model.restore(frames, still, None).pictures)
    assert not torch.equal(first.pictures, again.pictures)


def test_auto_takes_ncnn_where_it_runs() -> None:
    cuda = torch.device("cuda")
    assert resolve_engine("auto", "compact", device=CPU, dtype="float32") == "ncnn"
    assert resolve_engine("auto", "large", device=CPU, dtype="bfloat16") == "torch"
    assert resolve_engine("auto", "large", device=cuda, dtype="auto") == "torch"
    assert resolve_engine("auto", "bicubic", device=CPU, dtype="auto") == "torch"
    assert resolve_engine("torch", "compact", device=CPU, dtype="auto") == "torch"
    for name, dtype in (("bicubic", "auto"), ("compact", "bfloat16")):
        with pytest.raises(SettingsError, match="ncnn runs compact and large"):
            resolve_engine("ncnn", name, device=CPU, dtype=dtype)
    with pytest.raises(SettingsError, match="unknown"):
        resolve_engine("onnx", "compact", device=CPU, dtype="auto")
