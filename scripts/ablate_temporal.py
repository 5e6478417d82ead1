#!/usr/bin/env python3
"""What noise, blending and the recurrent restorer each do for steadiness and quality, as docs/TEMPORAL.md.

    ablate_temporal.py MEDIA --metric-weights WEIGHTS [--model compact] [--frames 8] [--page docs/TEMPORAL.md]

MEDIA is a folder with the clips that configs/evaluation.yaml names, and WEIGHTS is made by fetch_metric_weights.py. Of
every pair the middle HEIGHT x WIDTH pixels of the ground truth are judged. Clips given by --real have no ground truth:
their temporal figures are those of quality/figures.py with the enlarged input in the place of the truth.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.frames import Motion
from dossr_video.models.base import Carry, DomainShiftModel
from dossr_video.models.registry import load_model
from dossr_video.quality.figures import Clip, judge
from dossr_video.quality.networks import Networks
from dossr_video.quality.pairs import SCALE, make_pair, read_clip

LIST = Path(__file__).parent.parent / "configs" / "evaluation.yaml"
HEIGHT, WIDTH = 128, 192  # of the ground truth

TEMPORAL = ("tlpips", "ewarp", "flicker")
COLUMNS = ("psnr", "lpips", *TEMPORAL, "sharp")


class Forgetful:
    """A model whose restorer sees every frame alone."""

    def __init__(self, model: DomainShiftModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def restore(self, frames: Tensor, motion: Motion, carry: Carry) -> tuple[Tensor, Carry]:
        return self._model.restore(frames, replace(motion, confidence=torch.zeros_like(motion.confidence)), None)


@dataclass(frozen=True)
class Row:
    noise: str
    blend: str
    strength: float = 0.6
    recurrent: bool = True

    @property
    def name(self) -> str:
        blend = self.blend if self.blend == "off" else f"{self.blend} {self.strength}"
        return f"{self.noise} | {blend} | {'on' if self.recurrent else 'off'}"


BASE = Row("independent", "off")
ROWS = (
    *(Row(noise, blend) for noise in ("independent", "shared", "warped") for blend in ("off", "latent", "pixel")),
    Row("shared", "pixel", strength=0.4),
    Row("shared", "pixel", strength=0.8),
    *(Row(noise, blend, recurrent=False) for noise, blend in (("independent", "off"), ("shared", "pixel"))),
)
REAL_ROWS = (BASE, Row("shared", "off"), Row("shared", "pixel"))


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    source: Clip
    truth: Clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--metric-weights", type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="clips without ground truth")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--steps", type=int, help="network calls; default: the model's own")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    model = load_model(options.model, device="cpu", dtype="float32")
    networks = Networks.load(options.metric_weights)

    pairs = [measured(case, ROWS, model, networks, options.steps) for case in evaluation_pairs(options)]
    real = [measured(case, REAL_ROWS, model, networks, options.steps) for case in real_clips(options)]
    text = page(pairs, real, options)
    print(text)
    if options.page:
        head = options.page.read_text().split("## Figures")[0] if options.page.exists() else "# Consistency in time\n\n"
        options.page.write_text(head + text)


def evaluation_pairs(options: argparse.Namespace) -> Iterator[Case]:
    content = yaml.safe_load(LIST.read_text())
    for name, pair in content["pairs"].items():
        clip = read_clip(options.media / pair["clip"], frames=content["frames"])
        with TemporaryDirectory() as folder:
            truth, source = make_pair(
                clip, Path(folder), name, height=pair["height"], kind=pair["kind"], seed=pair["seed"]
            )
            yield Case(
                name,
                middle(read_clip(source, frames=options.frames), HEIGHT // SCALE, WIDTH // SCALE),
                middle(read_clip(truth, frames=options.frames), HEIGHT, WIDTH),
            )


def real_clips(options: argparse.Namespace) -> Iterator[Case]:
    for path in options.real:
        source = middle(read_clip(path, frames=options.frames), HEIGHT // SCALE, WIDTH // SCALE)
        enlarged = [cv2.resize(f, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for f in source]
        yield Case(path.stem, source, np.stack(enlarged))


def middle(clip: Clip, height: int, width: int) -> Clip:
    top, left = (clip.shape[1] - height) // 2, (clip.shape[2] - width) // 2
    return np.ascontiguousarray(clip[:, top : top + height, left : left + width])


def measured(
    case: Case, rows: tuple[Row, ...], model: DomainShiftModel, networks: Networks, steps: int | None
) -> tuple[str, dict[Row, dict[str, float | None]]]:
    """Figures of every row, and processor seconds a frame."""
    results, seconds = {}, {}
    for row in rows:
        settings = Settings(noise=row.noise, blend=row.blend, blend_strength=row.strength, steps=steps)
        used: Any = model if row.recurrent else Forgetful(model)
        began = time.process_time()
        results[row.name] = upscale_frames(case.source, model=used, settings=settings)
        seconds[row.name] = (time.process_time() - began) / len(case.source)
        print(case.name, row.name, f"{seconds[row.name]:.3f} s", flush=True)
    figures = judge(results, case.truth, networks)
    return case.name, {row: {**vars(figures[row.name]), "seconds": seconds[row.name]} for row in rows}


Measured = list[tuple[str, dict[Row, dict[str, float | None]]]]


def page(pairs: Measured, real: Measured, options: argparse.Namespace) -> str:
    calls = f"{options.steps} network calls" if options.steps else "its own number of network calls"
    names = ", ".join(name for name, _ in pairs)
    what = (
        f"Written by `scripts/ablate_temporal.py` on {platform.machine()} with {options.threads} thread: model "
        f"`{options.model}`, {calls}, the first {options.frames} frames, the middle {WIDTH}x{HEIGHT} pixels of the "
        f"result, mean over {names}. Seconds are processor seconds a frame, on a machine that does other work too."
    )
    lines = ["## Figures", "", what, "", *table(ROWS, mean(pairs, ROWS), (*COLUMNS, "seconds")), ""]
    lines += ["Change from the first row to `shared | pixel 0.6 | on`:", "", *changes(pairs, Row("shared", "pixel"))]
    if real:
        lines += ["", f"Without ground truth: {', '.join(name for name, _ in real)}.", ""]
        lines += table(REAL_ROWS, mean(real, REAL_ROWS), TEMPORAL)
    return "\n".join(lines) + "\n"


def mean(cases: Measured, rows: tuple[Row, ...]) -> dict[Row, dict[str, float | None]]:
    """Mean over the cases that have the figure."""
    result: dict[Row, dict[str, float | None]] = {}
    for row in rows:
        columns = cases[0][1][row].keys()
        known = {c: [v for _, figures in cases if (v := figures[row][c]) is not None] for c in columns}
        result[row] = {column: float(np.mean(values)) if values else None for column, values in known.items()}
    return result


def table(
    rows: tuple[Row, ...], figures: Mapping[Row, Mapping[str, float | None]], columns: tuple[str, ...]
) -> list[str]:
    lines = ["| noise | blending | recurrent | " + " | ".join(columns) + " |", "| --- " * (3 + len(columns)) + "|"]
    return lines + [f"| {row.name} | " + " | ".join(number(figures[row][c]) for c in columns) + " |" for row in rows]


def changes(cases: Measured, row: Row) -> list[str]:
    lines = ["| pair | lpips | tlpips | ewarp | flicker | sharp | seconds |", "| --- " * 7 + "|"]
    for name, figures in [*cases, ("mean", mean(cases, ROWS))]:
        before, after = figures[BASE], figures[row]
        cells = [f"{(after['lpips'] or 0) - (before['lpips'] or 0):+.4f}"]
        cells += [change(before[column], after[column]) for column in (*TEMPORAL, "sharp", "seconds")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def change(before: float | None, after: float | None) -> str:
    return "" if not before or after is None else f"{100 * (after / before - 1):+.0f} %"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
