#!/usr/bin/env python3
"""What blending, the recurrent restorer and --deflicker each do for steadiness and quality: docs/TEMPORAL.md.

    ablate_temporal.py MEDIA --real CLIP CLIP --page docs/TEMPORAL.md [--cache CACHE]

MEDIA is a folder with the clips that configs/evaluation.yaml names. Of every pair the middle HEIGHT x WIDTH pixels of
the ground truth are judged, for each of --models, by figures that need no network. Clips given by --real
have no ground truth: their temporal figures are those of quality/figures.py with the enlarged input in the place of the
truth. The tiny DoSSR checkpoint of the tests is run too, only to show that the full model goes the same way.

In CACHE, a folder, figures are kept by clip, weights and settings: what they belong to is not computed again, so an
interrupted run goes on and new weights are all that is measured anew. Empty it when the code changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import yaml
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.frames import Motion
from dossr_video.models.base import DomainShiftModel, HiddenState, PictureModel, Restored
from dossr_video.models.registry import load_model
from dossr_video.quality.figures import Clip, colour_shift, detail, psnr
from dossr_video.quality.motion import MotionTruth
from dossr_video.quality.pairs import SCALE, make_pair, read_clip

REPOSITORY = Path(__file__).parent.parent
LIST = REPOSITORY / "configs" / "evaluation.yaml"
TINY = REPOSITORY / "tests" / "data" / "golden" / "tiny" / "tiny.ckpt"
HEIGHT, WIDTH = 256, 384  # of the ground truth
TINY_SIDE, TINY_FRAMES = 128, 3  # of the ground truth; no network of the tiny model takes less

TEMPORAL = ("ewarp", "flicker")
COLUMNS = ("psnr", *TEMPORAL, "sharp", "colour", "seconds")
CHANGES = (*TEMPORAL, "sharp", "seconds")

Figures = dict[str, float | None]


def without_hidden_state(model: PictureModel) -> PictureModel:
    """The model, its restorer seeing every frame alone."""

    def restore(frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        return model.restore(frames, replace(motion, confidence=torch.zeros_like(motion.confidence)), None)

    alone = copy(model)
    alone.restore = restore  # type: ignore[method-assign]
    return alone


@dataclass(frozen=True)
class Row:
    noise: str
    blend: str
    strength: float = 0.7
    recurrent: bool = True
    deflicker: bool = False
    flow: str = "fine"
    steps: int | None = None
    at: str = "first"  # which calls of `steps`

    @property
    def settings(self) -> Settings:
        return Settings.of(
            {
                "noise": self.noise,
                "blend": self.blend,
                "blend_strength": self.strength,
                "blend_calls": self.at,
                "deflicker": self.deflicker,
                "flow": self.flow,
                "steps": self.steps,
            }
        )

    @property
    def cells(self) -> str:
        """noise | blending | recurrent"""
        blend = self.blend if self.blend == "off" else f"{self.blend} {self.strength}"
        if self.steps and self.blend == "latent":
            blend += f", {self.at} call{'s' * (self.at == 'all')}"
        blend += ", `--deflicker`" * self.deflicker
        if self.flow != DEFAULT.flow:
            blend += f", `--flow {self.flow}`"
        return f"{self.noise} | {blend} | {'on' if self.recurrent else 'off'}"


BASE, DEFAULT = Row("shared", "off"), Row("shared", "pixel")
LATENT = Row("shared", "latent")
EVENED = replace(DEFAULT, deflicker=True)
ROWS = (
    BASE,
    LATENT,
    DEFAULT,
    replace(DEFAULT, strength=0.5),
    replace(DEFAULT, strength=0.9),
    replace(BASE, recurrent=False),
    replace(DEFAULT, recurrent=False),
    EVENED,
)
REAL = (BASE, LATENT, DEFAULT, EVENED)
NOISES, BLENDS = ("independent", "shared", "warped"), ("off", "latent", "pixel")
SMALL = tuple(Row(noise, blend, steps=2) for noise in NOISES for blend in BLENDS)


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    source: Clip
    truth: Clip


Measured = dict[str, dict[Row, Figures]]  # by case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="clips without ground truth")
    parser.add_argument("--models", nargs="*", default=["compact", "large"])
    parser.add_argument("--pairs", type=int, default=2, help="how many of the list, from the first")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    tiny = load_model(str(TINY), device="cpu", dtype="float32")

    with TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        cases = list(evaluation_pairs(options))
        films = list(real_clips(options))
        tables: dict[str, tuple[Measured, Measured]] = {}
        for name in options.models:
            model = load_model(name, device="cpu", dtype="float32")
            pairs, real = (
                {case.name: measured(case, fitting(rows, model), model, cache) for case in some}
                for rows, some in ((ROWS, cases), (REAL, films))
            )
            tables[name] = pairs, real
        corner = Case("corner", *(clip[:TINY_FRAMES] for clip in crops(cases[0], TINY_SIDE)))
        small = {corner.name: measured(corner, SMALL, tiny, cache)}
    head = options.page.read_text().split("## Figures")[0]
    options.page.write_text(head + page(tables, small, options))


def fitting(rows: Sequence[Row], model: PictureModel) -> tuple[Row, ...]:
    """Those that the model can do."""
    latents = isinstance(model, DomainShiftModel)
    return tuple(row for row in rows if (latents or row.blend != "latent") and (model.recurrent or row.recurrent))


def evaluation_pairs(options: argparse.Namespace) -> Iterator[Case]:
    content = yaml.safe_load(LIST.read_text())
    for name, recipe in list(content["pairs"].items())[: options.pairs]:
        clip = read_clip(options.media / recipe.pop("clip"), frames=content["frames"])
        with TemporaryDirectory() as folder:
            truth, source = make_pair(clip, Path(folder), name, **recipe)
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


def crops(case: Case, side: int) -> tuple[Clip, Clip]:
    return middle(case.source, side // SCALE, side // SCALE), middle(case.truth, side, side)


def middle(clip: Clip, height: int, width: int) -> Clip:
    top, left = (clip.shape[1] - height) // 2, (clip.shape[2] - width) // 2
    return np.ascontiguousarray(clip[:, top : top + height, left : left + width])


def measured(case: Case, rows: Sequence[Row], model: PictureModel, cache: Path) -> dict[Row, Figures]:
    """Figures of every row, and processor seconds a frame; those already in `cache` are read from it."""
    clips = case.source.tobytes() + case.truth.tobytes()
    files = {row: cache / f"{digest(clips + f'{model.digest} {row}'.encode())}.json" for row in rows}
    results: dict[str, Clip] = {}
    runs: dict[Row, tuple[str, float]] = {}
    for row in rows:
        if files[row].exists():
            continue
        used = model if row.recurrent else without_hidden_state(model)
        began = time.process_time()
        result = upscale_frames(case.source, model=used, settings=row.settings)
        runs[row] = digest(result.tobytes()), (time.process_time() - began) / len(case.source)
        results[runs[row][0]] = result  # noise changes nothing at one call: what is equal is judged once
        print(case.name, row.steps or "", row.cells, f"{runs[row][1]:.3f} s", flush=True)
    motion = MotionTruth(case.truth)
    figures = {name: judged(result, case, motion) for name, result in results.items()}
    for row, (name, seconds) in runs.items():
        files[row].write_text(json.dumps({**figures[name], "seconds": seconds}))
    return {row: json.loads(file.read_text()) for row, file in files.items()}


def judged(result: Clip, case: Case, motion: MotionTruth) -> Figures:
    """As in quality/figures.py, less what networks see."""
    pairs = [(now.astype(np.float32), truth.astype(np.float32)) for now, truth in zip(result, case.truth, strict=True)]
    moments = range(1, len(result))
    flicker = [value for t in moments if (value := motion.flicker(result, t)) is not None]
    return {
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ewarp": float(np.mean([1e3 * motion.warping_error(result, t) for t in moments])),
        "flicker": 1e3 * float(np.mean(flicker)) if flicker else None,
        "sharp": float(np.mean([detail(now) / max(1e-6, detail(truth)) for now, truth in pairs])),
        "colour": colour_shift(result, case.source),
    }


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def page(tables: Mapping[str, tuple[Measured, Measured]], small: Measured, options: argparse.Namespace) -> str:
    """The page from its Figures on."""
    cases = next(iter(tables.values()))[0]
    lines = [
        "## Figures",
        "",
        (
            f"Written by `scripts/ablate_temporal.py` on {platform.machine()} with {options.threads} thread: float32, "
            f"the first {options.frames} frames, the middle {WIDTH}x{HEIGHT} pixels of the result, mean over "
            f"{', '.join(cases)}. docs/QUALITY.md tells what the columns mean; seconds are those of the processor "
            "for a frame, on a machine that does other work too."
        ),
    ]
    for name, (pairs, real) in tables.items():
        means = mean(pairs)
        lines += ["", f"Model `{name}`:", "", *table(tuple(means), means, COLUMNS)]
        lines += ["", f"Change from `{BASE.cells}` to `{DEFAULT.cells}`:", "", *changes(pairs, DEFAULT)]
        for film, figures in real.items():
            lines += ["", f"Without ground truth, {film}:", "", *table(tuple(figures), figures, TEMPORAL)]
    note = f"The full model's code with the tests' tiny untrained weights at 2 calls, {TINY_FRAMES} frames: it runs."
    lines += ["", note, "", *table(SMALL, mean(small), ("ewarp", "seconds"))]
    return "\n".join(lines) + "\n"


def mean(cases: Measured) -> dict[Row, Figures]:
    """Mean over the cases that have the figure."""
    result: dict[Row, Figures] = {}
    for row, first in next(iter(cases.values())).items():
        known = {c: [v for figures in cases.values() if (v := figures[row][c]) is not None] for c in first}
        result[row] = {column: float(np.mean(values)) if values else None for column, values in known.items()}
    return result


def table(rows: Sequence[Row], figures: Mapping[Row, Figures], columns: Sequence[str]) -> list[str]:
    lines = [
        "| noise | blending | recurrent | " + " | ".join(columns) + " |",
        "| --- " * 3 + "| ---: " * len(columns) + "|",
    ]
    return lines + [f"| {row.cells} | " + " | ".join(number(figures[row][c]) for c in columns) + " |" for row in rows]


def changes(cases: Measured, row: Row) -> list[str]:
    lines = ["| pair | " + " | ".join(CHANGES) + " |", "| --- " + "| ---: " * len(CHANGES) + "|"]
    for name, figures in {**cases, "mean": mean(cases)}.items():
        before, after = figures[BASE], figures[row]
        cells = [change(before[column], after[column]) for column in CHANGES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def change(before: float | None, after: float | None) -> str:
    return "" if not before or after is None else f"{100 * (after / before - 1):+.1f} %"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
