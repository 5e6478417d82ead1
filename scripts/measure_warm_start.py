#!/usr/bin/env python3
"""What --warm-start keeps of a run with all calls, and of a run with few: the table of docs/TEMPORAL.md.

    measure_warm_start.py MEDIA [--model large | CHECKPOINT] [--metric-weights WEIGHTS] [--frames 12] [--size 256 320]

MEDIA is a folder with the clips that configs/evaluation.yaml names; of each of the first --pairs the middle of the
ground truth is judged. WEIGHTS is made by fetch_metric_weights.py; without it there is no lpips. Prints Markdown.
`far` is the mean distance, in 8-bit codes, to the frames of the run with all calls; `late` the same of the last
quarter of the frames, which shows whether anything builds up. Blending is off: it would hide differences.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.models.base import Condition, DomainShiftModel
from dossr_video.models.registry import load_model
from dossr_video.quality.figures import Clip, detail, judge, psnr
from dossr_video.quality.motion import MotionTruth
from dossr_video.quality.networks import Networks
from dossr_video.quality.pairs import damage, ground_truth, read_clip

LIST = Path(__file__).parent.parent / "configs" / "evaluation.yaml"
RUNS = {
    "5 calls": {"steps": 5},
    "3 calls, every frame from the start": {"steps": 3},
    "5 calls, `--warm-start 3`": {"steps": 5, "warm_start": 3},
    "2 calls, every frame from the start": {"steps": 2},
    "5 calls, `--warm-start 2`": {"steps": 5, "warm_start": 2},
}
COLUMNS = ("calls a frame", "far", "late", "psnr", "lpips", "ewarp", "sharp")


class Counted:
    """Counts the frames that a model's network is called for."""

    def __init__(self, model: DomainShiftModel) -> None:
        self.calls, self._denoise = 0, model.denoise
        model.denoise = self  # type: ignore[method-assign, assignment]

    def __call__(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        self.calls += len(x)
        return self._denoise(x, t, condition)


def upscaled(model: DomainShiftModel, source: Clip, options: dict[str, int]) -> Clip:
    settings = Settings.of({"dust": "off", "native": "off", "blend": "off", **options})
    frames = torch.from_numpy(source).permute(0, 3, 1, 2).float() / 255
    result = upscale_frames(frames, model=model, settings=settings)
    return (result.permute(0, 2, 3, 1) * 255).round().byte().numpy()


def measured(
    model: DomainShiftModel, counted: Counted, source: Clip, truth: Clip, networks: Networks | None
) -> Iterator[tuple[str, list[float]]]:
    whole, motion = None, MotionTruth(truth)
    for name, options in RUNS.items():
        counted.calls = 0
        result = upscaled(model, source, options)
        whole = result if whole is None else whole
        far = np.abs(result.astype(int) - whole).mean((1, 2, 3))
        pairs = [(a.astype(np.float32), b.astype(np.float32)) for a, b in zip(result, truth, strict=True)]
        lpips = float("nan") if networks is None else judge({"": result}, truth, networks)[""].lpips
        yield (
            name,
            [
                counted.calls / len(source),
                float(far.mean()),
                float(far[-(len(far) // 4) :].mean()),
                statistics.fmean(psnr(a, b) for a, b in pairs),
                lpips,
                1e3 * statistics.fmean(motion.warping_error(result, t) for t in range(1, len(result))),
                statistics.fmean(detail(a) / detail(b) for a, b in pairs),
            ],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--model", default="large")
    parser.add_argument("--metric-weights", type=Path)
    parser.add_argument("--pairs", type=int, default=2, help="how many of the list, from the first")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), help="height and width of the ground truth")
    args = parser.parse_args()
    model = load_model(args.model, device="cpu", dtype="float32")
    assert isinstance(model, DomainShiftModel), "a model that samples"
    counted = Counted(model)
    networks = None if args.metric_weights is None else Networks.load(args.metric_weights)
    for name, pair in list(yaml.safe_load(LIST.read_text())["pairs"].items())[: args.pairs]:
        clip = ground_truth(read_clip(args.media / pair["clip"], frames=args.frames), height=pair["height"])
        top, left = ((side - wanted) // 2 for side, wanted in zip(clip.shape[1:3], args.size, strict=True))
        truth = np.ascontiguousarray(clip[:, top : top + args.size[0], left : left + args.size[1]])
        source = damage(truth, pair["kind"], seed=pair["seed"])
        print(f"\n{Path(args.model).name}, {name}, {len(truth)} frames:\n")
        print("| run |", " | ".join(COLUMNS), "|\n| --- |", " | ".join(["---:"] * len(COLUMNS)), "|")
        for run, figures in measured(model, counted, source, truth, networks):
            print(f"| {run} |", " | ".join("" if np.isnan(x) else f"{x:.4g}" for x in figures), "|", flush=True)


if __name__ == "__main__":
    main()
