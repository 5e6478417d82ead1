"""The reader of ncnn networks: small graphs written here give what the same layers give in torch."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.training.ncnn import NcnnNetwork
from dossr_video.training.warmstart import warm_started

HALF = 0x01306B47


def write(stem: Path, layers: list[str], weights: bytes) -> NcnnNetwork:
    text = "\n".join(["7767517", f"{len(layers)} {len(layers)}", *layers])
    stem.with_suffix(".param").write_text(text)
    stem.with_suffix(".bin").write_bytes(weights)
    return NcnnNetwork(stem)


def convolution(weight: Tensor, bias: Tensor) -> bytes:
    return struct.pack("<I", 0) + weight.numpy().tobytes() + bias.numpy().tobytes()


@pytest.fixture
def srvgg(tmp_path: Path) -> NcnnNetwork:
    """Four features, two convolutions between head and tail, x4."""
    torch.manual_seed(0)
    shapes = [(4, 3), (4, 4), (4, 4), (48, 4)]
    lines, data = ["Input input 0 1 data", "Split split 1 2 data a b"], b""
    name = "b"
    for i, (outputs, inputs) in enumerate(shapes):
        settings = f"0={outputs} 1=3 4=1 5=1 6={outputs * inputs * 9}"
        lines.append(f"Convolution conv{i} 1 1 {name} c{i} {settings}")
        data += convolution(0.2 * torch.randn(outputs, inputs, 3, 3), 0.1 * torch.randn(outputs))
        name = f"c{i}"
        if i < 3:
            lines.append(f"PReLU act{i} 1 1 {name} p{i} 0={outputs}")
            data += torch.rand(outputs).numpy().tobytes()
            name = f"p{i}"
    lines += [
        f"PixelShuffle shuffle 1 1 {name} large 0=4",
        "Interp enlarge 1 1 a near 0=1 1=4.0 2=4.0",
        "BinaryOp add 2 1 large near output",
    ]
    return write(tmp_path / "srvgg", lines, data)


def test_a_warm_started_restorer_is_the_network_with_the_frame_s_mean_colour(srvgg: NcnnNetwork) -> None:
    restorer = warm_started(srvgg)
    frames = torch.rand(2, 3, 8, 10)
    flow, sure = torch.zeros(2, 2, 8, 10), torch.ones(2, 1, 8, 10)
    with torch.inference_mode():
        wanted = srvgg(frames)
        restored, hidden = restorer(frames, flow, sure, None)
        unsure, _ = restorer(frames, flow, 0 * sure, hidden)
        remembered, _ = restorer(frames, flow, sure, hidden)
    drift = wanted.mean((2, 3), keepdim=True) - frames.mean((2, 3), keepdim=True)
    assert torch.allclose(restored, wanted - drift, atol=1e-6)
    assert torch.equal(restored, unsure)
    assert not torch.equal(restored, remembered)  # the memory begins small, but not at zero


def test_dense_blocks(tmp_path: Path) -> None:
    torch.manual_seed(1)
    weight, bias = torch.randn(3, 6, 3, 3), torch.randn(3)
    lines = [
        "Input input 0 1 data",
        "Split split 1 3 data a b c",
        "Concat concat 2 1 a b ab",
        "Convolution conv 1 1 ab d 0=3 1=3 4=1 5=1 6=162 9=2 -23310=1,2.000000e-01",
        "Eltwise sum 2 1 d c e 0=1 -23301=2,2.000000e-01,1.000000e+00",
        "Interp up 1 1 e output 0=2 1=2.0 2=2.0",
    ]
    halves = weight.half()
    data = struct.pack("<I", HALF) + halves.numpy().tobytes() + bias.numpy().tobytes()
    x = torch.rand(1, 3, 5, 7)
    inner = F.leaky_relu(F.conv2d(torch.cat([x, x], 1), halves.float(), bias, padding=1), 0.2)
    wanted = F.interpolate(0.2 * inner + x, scale_factor=2.0, mode="bilinear")
    assert torch.allclose(write(tmp_path / "dense", lines, data)(x), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Sigmoid s 1 1 data output", "of kind Sigmoid"),
        ("Convolution c 1 1 data output 0=3 1=1 6=9", "no bias"),
        ("PReLU p 1 1 data output 0=3", "bytes"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        write(tmp_path / "net", ["Input input 0 1 data", line], b"\0" * 40)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        NcnnNetwork(tmp_path / "none")
    (tmp_path / "net.param").write_text("not a network")
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="not an ncnn"):
        NcnnNetwork(tmp_path / "net")
