"""Networks of others in ONNX: small graphs, as files, through the registry and the pipeline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import dossr_video
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.registry import load_model

ANY = ("N", 3, "H", "W")


def written(
    path: Path,
    *,
    scale: int = 2,
    shape: tuple[Any, ...] = ANY,
    half: bool = False,
    block: int = 1,
    inputs: int = 1,
    copies: int = 1,
    beside: str | None = None,
) -> str:
    """Enlarges by repeating pixels, with some noise, pictures whose sides are multiples of `block`.

    `copies` of the channels are given, 0: their mean; `beside`: the file with the weights.
    """
    channels = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 3
    kind, number = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    rng = np.random.default_rng(4)
    side = scale * block
    weight = rng.normal(0, 0.01, (channels * side**2, channels * block**2, 3, 3)).astype(number)
    for c, y, x in np.ndindex(channels, side, side):
        weight[c * side**2 + y * side + x, (y // scale * block + x // scale) * channels + c, 1, 1] += 1
    nodes, source = [], "x"
    if block > 1:
        nodes, source = [helper.make_node("SpaceToDepth", ["x"], ["s"], blocksize=block)], "s"
    nodes += [
        helper.make_node("Conv", [source, "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c"], ["d"], blocksize=side, mode="CRD"),
        helper.make_node("Concat", ["d"] * copies, ["y"], axis=1)
        if copies
        else helper.make_node("ReduceMean", ["d"], ["y"], axes=[1]),
    ]
    given = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "second")[:inputs]]
    made = [helper.make_tensor_value_info("y", kind, ("N", copies * channels or 1, "a", "b"))]
    graph = helper.make_graph(nodes, "g", given, made, [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="license", value="CC0-1.0")
    onnx.save(model, str(path), save_as_external_data=beside is not None, location=beside, size_threshold=0)
    return str(path)


def restored(model: Any, frames: Tensor) -> Tensor:
    count, _, height, width = frames.shape
    still = Motion(torch.zeros(count, 2, height, width), torch.zeros(count, 1, height, width))
    return model.restore(frames, still, None).pictures


@pytest.mark.parametrize(
    ("options", "scale", "multiple"),
    [
        ({}, 2, 1),
        ({"scale": 1}, 1, 1),
        ({"scale": 8}, 8, 1),
        ({"block": 4}, 2, 4),
        ({"half": True}, 2, 1),
        ({"shape": ("N", 1, "H", "W")}, 2, 1),
        ({"shape": (1, 3, 16, 24), "scale": 3}, 3, 1),
    ],
)
def test_a_network_enlarges_by_its_own_scale(
    tmp_path: Path, moving: Tensor, options: dict[str, Any], scale: int, multiple: int
) -> None:
    model = load_model(written(tmp_path / "net.onnx", **options), device="cpu")
    assert (model.scale, model.multiple, model.engine) == (scale, multiple, "onnxruntime")
    assert model.dtype == (torch.float16 if options.get("half") else torch.float32)
    pictures = restored(model, moving[:2])
    assert pictures.shape == (2, 3, 32 * scale, 40 * scale)
    torch.testing.assert_close(pictures.mean((2, 3)), moving[:2].mean((2, 3)), rtol=0, atol=0.02)
    assert torch.equal(restored(model, moving[1:2]), pictures[1:])


def test_a_fixed_size_goes_by_tiles_and_gives_the_same_but_at_their_seams(tmp_path: Path, moving: Tensor) -> None:
    fixed, free = (
        load_model(written(tmp_path / f"{number}.onnx", shape=shape), device="cpu")
        for number, shape in enumerate([(1, 3, 16, 24), ANY])
    )
    difference = (restored(fixed, moving[:1]) - restored(free, moving[:1])).abs()
    assert difference.mean() < 0.01
    small = moving[:1, :, :10, :12]  # smaller than what it takes
    assert restored(fixed, small).shape == (1, 3, 20, 24)


def test_a_film(sample: Path, tmp_path: Path) -> None:
    """Sides that are no multiples are padded, the licence is told, the frames are blended."""
    model = written(tmp_path / "net.onnx", block=4)
    report = dossr_video.upscale(sample, tmp_path / "out.mp4", model=model, duration=0.1, native="0.95")
    assert "416x176" in report.target.streams[0]
    assert report.proof.passed
    assert "net.onnx: ONNX x2, RGB" in report.processing[1]
    assert "licence CC0-1.0" in report.processing[1]
    assert report.settings.model.engine == "onnxruntime"


def test_it_may_follow_another(tmp_path: Path, moving: Tensor) -> None:
    path = written(tmp_path / "net.onnx")
    assert dossr_video.upscale_frames(moving[:1], model=f"{path}+{path}", native="off").shape == (1, 3, 128, 160)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 2}, "takes 2 inputs and gives 1 outputs"),
        ({"shape": ("N", 4, "H", "W")}, "takes (any, 4, any, any): it must be (1, 3, H, W)"),
        ({"shape": (2, 3, "H", "W")}, "takes (2, 3, any, any)"),
        ({"shape": (1, 3, 24, "W")}, "runs on no picture that was tried"),
        ({"shape": (1, 3, 100_000, 100_000)}, "takes pictures of 100000x100000 alone: more than"),
        ({"copies": 0}, "it makes (1, 1, 192, 320) of (1, 3, 96, 160); the channels must be as many"),
        ({"copies": 2, "shape": (1, 3, 16, 24)}, "it makes (1, 6, 32, 48) of (1, 3, 16, 24)"),
        ({"scale": 17}, "net.onnx enlarges x17; at most x16"),
    ],
)
def test_what_takes_no_picture_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        load_model(written(tmp_path / "net.onnx", **options), device="cpu")


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be opened as ONNX"):
        load_model(str(tmp_path / "net.onnx"), device="cpu")


@pytest.mark.parametrize("beside", ["net.onnx.data", "weights.bin", "w" * 130])
def test_weights_in_another_file_are_part_of_the_digest(tmp_path: Path, beside: str) -> None:
    path = written(tmp_path / "net.onnx", beside=beside)
    before = load_model(path, device="cpu").digest
    assert load_model(path, device="cpu").digest == before
    weights = bytearray((tmp_path / beside).read_bytes())
    weights[-1] ^= 1
    (tmp_path / beside).write_bytes(weights)
    assert load_model(path, device="cpu").digest != before
