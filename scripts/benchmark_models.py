"""What scripts/benchmark.py measures of models in memory: engines, parts, layers and number types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmark_sampling import load_networks
from benchmark_tools import Section, Sizes, clip, turns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dossr_video.frames import Motion
from dossr_video.models.base import PictureModel
from dossr_video.models.compact.dots import without_dots
from dossr_video.models.large.model import LargeModel, load_large
from dossr_video.models.ncnn import NcnnNetwork
from dossr_video.models.registry import load_model
from dossr_video.temporal.blend import blend_pictures
from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.video import pixels
from dossr_video.video.tags import ColorInfo

COLOR = ColorInfo(primaries="bt709", transfer="bt709", matrix="bt709", range="tv", chroma_location="left")
ENGINES = {
    "torch float32": {"engine": "torch", "dtype": "float32"},
    "torch bfloat16": {"engine": "torch", "dtype": "bfloat16"},
    "ncnn float32": {"engine": "ncnn", "dtype": "float32"},
}
WIDTH = 64  # channels of a layer of compact


def restoring(model: PictureModel, frames: Tensor, moved: Motion) -> Callable[[], Any]:
    """A call that restores the second of two frames."""
    frames, moved = frames.to(model.device), Motion(moved.flow.to(model.device), moved.confidence.to(model.device))
    first = model.restore(frames[:1], Motion(moved.flow[:1], moved.confidence[:1]), None)
    return lambda: model.restore(frames[1:], Motion(moved.flow[1:], moved.confidence[1:]), first.hidden).pictures


def roofline(sizes: Sizes, folder: Path) -> Section:
    """The most that one product of matrices and one copy reach."""
    rows: list[tuple[Any, ...]] = []
    n = 1024
    one = torch.rand(n, n)
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    found = turns({name: lambda k=kind: one.to(k) @ one.to(k) for name, kind in kinds.items()}, sizes.rounds)
    rows += [(f"product of matrices, {name}", 2 * n**3 / cpu / 1e9, "GFLOP/s") for name, (cpu, _) in found.items()]
    block, target = torch.rand(2**25), torch.empty(2**25)
    cpu, _ = turns({"copy": lambda: target.copy_(block)}, sizes.rounds)["copy"]
    rows.append(("copy of 128 MB, read and written", 2 * 4 * 2**25 / cpu / 1e9, "GB/s"))
    return Section("Roofline", "What this machine does at most, per CPU second.", ("what", "rate", "unit"), rows)


def models(sizes: Sizes, folder: Path) -> Section:
    """Each model under each engine, one frame, the motion known."""
    peak = roofline(sizes, folder).rows[0][1]
    rows: list[tuple[Any, ...]] = []
    for name, size in (("compact", sizes.compact), ("large", sizes.large)):
        frames = clip(size, 2)
        moved = motion(None, frames, DisFlow())
        engines = {kind: load_model(name, device="cpu", **options) for kind, options in ENGINES.items()}
        if torch.cuda.is_available():
            engines["accelerator"] = load_model(name)
        methods = {kind: restoring(model, frames, moved) for kind, model in engines.items()}
        with FlopCounterMode(display=False) as counter:
            exact = methods["torch float32"]()
        work = counter.get_total_flops()
        seconds = turns(methods, sizes.rounds)
        for kind, (cpu, wall) in seconds.items():
            off = (methods[kind]().cpu() - exact).abs() * 255
            rate = work / cpu / 1e9
            row = f"{name} {size[0]}x{size[1]}", kind, cpu, wall, rate, rate / peak
            rows.append((*row, float(off.max()), float(off.mean())))
    bf16, ncnn = rows[1], rows[2]
    note = (
        "Restorer of one frame with what it remembers. GFLOP/s count multiplications and additions as PyTorch does "
        "them; Winograd needs fewer, so its share of the roofline (float32) may exceed 1. Difference from torch "
        f"float32, codes of 255. On this machine bfloat16 takes {bf16[2] / ncnn[2]:.2f} of the CPU time of ncnn for "
        f"compact and is off by {bf16[7]:.2g} codes on average, {bf16[6]:.2g} at most; ncnn is off by {ncnn[6]:.1g} at "
        "most. `--engine auto` takes ncnn, which keeps the picture; `--engine torch` is there for who wants the other."
    )
    columns = ("model", "engine", "CPU s", "wall s", "GFLOP/s", "of roofline", "largest difference", "mean")
    return Section("Model only", note, columns, rows)


def layers(sizes: Sizes, folder: Path) -> Section:
    """The parts of each model."""
    peak = roofline(sizes, folder).rows[0][1]
    rows: list[tuple[Any, ...]] = []
    for title, methods, counted in (_of_compact(sizes), _of_large(sizes), _of_dossr(sizes)):
        seconds = turns(methods, sizes.rounds)
        whole = sum(cpu for cpu, _ in seconds.values())
        for name, (cpu, _) in seconds.items():
            with FlopCounterMode(display=False) as counter:
                counted[name]()
            work = counter.get_total_flops()
            rows.append((title, name, 1000 * cpu, cpu / whole, work / 1e9, work / cpu / 1e9, work / cpu / 1e9 / peak))
    note = (
        "What each part of a model takes, with its default engine. The arithmetic is that of convolutions, products of "
        "matrices and attention as PyTorch counts them; 0: it moves and weighs pixels. DoSSR is the small network of "
        "the tests, whose layers are too narrow to be fast: docs/DOSSR_MODEL.md has the true size."
    )
    columns = ("model", "part", "CPU ms", "share", "GFLOP", "GFLOP/s", "of roofline")
    return Section("Parts of the models", note, columns, rows)


Parts = tuple[str, dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]  # the last: the same by PyTorch


def _of_compact(sizes: Sizes) -> Parts:
    width, height = sizes.compact
    frames = clip(sizes.compact, 2)
    moved = motion(None, frames, DisFlow())
    network = load_model("compact", device="cpu", engine="torch", dtype="float32").network  # type: ignore[attr-defined]
    none = Motion(moved.flow[:1], moved.confidence[:1])
    hidden = network(frames[:1], none.flow, none.confidence, None)[1]
    rows, fast = (0, height), NcnnNetwork(network, "go_through")

    def seen() -> Tensor:
        found: Tensor = network.seen(frames[1:], moved.flow[1:], moved.confidence[1:], hidden, rows)
        return found

    remembered = seen()
    features = network.enter(frames[1:], remembered).contiguous()
    enter = NcnnNetwork(network, "enter")
    methods: dict[str, Callable[[], Any]] = {
        "what is remembered, moved": seen,
        "first convolutions": lambda: enter(frames[1:], remembered),
        "trunk and tail": lambda: fast(features),
        "dots taken out": lambda: without_dots(hidden[1], frames[:1]),
    }
    counted = {
        **methods,
        "first convolutions": lambda: network.enter(frames[1:], remembered),
        "trunk and tail": lambda: network.go_through(features),
    }
    return f"compact {width}x{height}", methods, counted


def _of_large(sizes: Sizes) -> Parts:
    frames = clip(sizes.large, 1)
    still = Motion(torch.zeros(1, 2, *frames.shape[2:]), torch.zeros(1, 1, *frames.shape[2:]))
    cpu = torch.device("cpu")

    def of(model: LargeModel) -> dict[str, Callable[[], Any]]:
        restored = model.restore(frames, still, None)
        restored = replace(restored, pictures=restored.pictures.clamp(0, 1))
        latents = model.encode(restored.pictures)
        condition = model.condition(restored, latents)
        return {
            "restore": lambda: model.restore(frames, still, None),
            "encode and condition": lambda: model.condition(restored, model.encode(restored.pictures)),
            "denoise, one call": lambda: model.denoise(latents, 499, condition),
            "decode": lambda: model.decode(latents),
        }

    made = [load_large(device=cpu, dtype=torch.float32, engine=engine) for engine in ("ncnn", "torch")]  # type: ignore[arg-type]
    return f"large {sizes.large[0]}x{sizes.large[1]}", of(made[0]), of(made[1])


def _of_dossr(sizes: Sizes) -> Parts:
    model = load_networks(None)
    frames = clip((64, 64), 1)
    still = Motion(torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 64, 64))
    restored = model.restore(frames, still, None)
    restored = replace(restored, pictures=restored.pictures.clamp(0, 1))
    latents = model.encode(restored.pictures)
    condition = model.condition(restored, latents)
    methods: dict[str, Callable[[], Any]] = {
        "restore": lambda: model.restore(frames, still, None),
        "encode": lambda: model.encode(restored.pictures),
        "condition": lambda: model.condition(restored, latents),
        "control and UNet, one call": lambda: model.denoise(latents, 300, condition),
        "decode": lambda: model.decode(latents),
    }
    return "DoSSR, small, 64x64", methods, methods


def parts(sizes: Sizes, folder: Path) -> Section:
    """What a frame of compact goes through."""
    frames = clip(sizes.compact, 2)
    moved = motion(None, frames, DisFlow())
    one = Motion(moved.flow[1:], moved.confidence[1:])
    restore = restoring(load_model("compact", device="cpu"), frames, moved)
    picture = restore().clamp(0, 1)
    yuv = pixels.from_rgb(frames[0], "yuv420p", COLOR)
    to_rgb = pixels.ToRgb(COLOR)
    methods: dict[str, Callable[[], Any]] = {
        "to RGB": lambda: to_rgb(yuv),
        "optical flow, both ways, and its confidence": lambda: motion(frames[0], frames[1:], DisFlow()),
        "restore": restore,
        "blend with the frame before": lambda: blend_pictures(picture.clone(), picture, one, frames[1:], strength=0.7),
        "to YUV": lambda: pixels.from_rgb(picture[0], "yuv420p", COLOR),
    }
    seconds = turns(methods, sizes.rounds)
    whole = sum(cpu for cpu, _ in seconds.values())
    rows = [(name, 1000 * cpu, cpu / whole) for name, (cpu, _) in seconds.items()]
    share, rest = rows[2][2], 1 / rows[2][2]
    note = (
        f"One frame of {sizes.compact[0]}x{sizes.compact[1]}, enlarged four times; decoding and encoding left out. The "
        f"networks are {share:.0%}, so where all cores are busy with them a frame takes at least {rest:.2f} times as "
        "long as its networks; only cores that they leave idle hide the rest."
    )
    return Section("Parts of a frame of compact", note, ("part", "CPU ms", "share"), rows)


def numbers(sizes: Sizes, folder: Path) -> Section:
    """One layer of compact in eight bits against the others."""
    x = torch.rand(1, WIDTH, sizes.compact[1], sizes.compact[0])
    layer = nn.Conv2d(WIDTH, WIDTH, 3, padding=1).eval()
    exact, fast = layer(x), NcnnNetwork(nn.Sequential(layer))
    half, small = deepcopy(layer).to(torch.bfloat16), x.to(torch.bfloat16).to(memory_format=torch.channels_last)
    methods: dict[str, Callable[[], Tensor]] = {"ncnn float32": lambda: fast(x)}
    methods["torch bfloat16"] = lambda: half(small)
    methods |= dict(_in_eight_bits(layer, x))
    seconds = turns(methods, sizes.rounds)
    base = seconds["ncnn float32"][0]
    rows = []
    for name, (cpu, _) in seconds.items():
        off = (methods[name]().float() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        rows.append((name, 1000 * cpu, cpu / base, float(off)))
    eight = f"{rows[-1][2]:.2f} of the time of ncnn, {rows[-1][3]:.1%} off" if len(rows) > 2 else "not offered here"
    note = (
        f"A convolution of {WIDTH} channels, as compact has seventeen; root mean square difference from torch float32, "
        f"of the layer's output. Eight bits: {eight} after one layer, and the errors of seventeen add up, in shades "
        "of what is to be restored. Pictures of a restorer have 256 shades, so it is not offered."
    )
    return Section("Number types of a layer", note, ("layer in", "CPU ms", "of ncnn", "off"), rows)


def _in_eight_bits(layer: nn.Conv2d, x: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Weights and activations of 8 bits by PyTorch, where it has an engine for them."""
    if not {"onednn", "x86", "fbgemm"} & set(torch.backends.quantized.supported_engines):
        return
    scale, low = float(x.max()) / 255, 0
    weight = torch.quantize_per_channel(
        layer.weight.detach(),
        layer.weight.detach().abs().amax((1, 2, 3)) / 127,
        torch.zeros(WIDTH, dtype=torch.int64),
        0,
        torch.qint8,
    )
    packed = torch.ops.quantized.conv2d_prepack(weight, layer.bias.detach(), [1, 1], [1, 1], [1, 1], 1)
    coded = torch.quantize_per_tensor(x, scale, low, torch.quint8).contiguous(memory_format=torch.channels_last)
    found = layer(x)
    least, most = float(found.min()), float(found.max())
    step = (most - least) / 255

    def run() -> Tensor:
        result: Tensor = torch.ops.quantized.conv2d(coded, packed, step, round(-least / step)).dequantize()
        return result

    yield "torch int8", run
