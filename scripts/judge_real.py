#!/usr/bin/env python3
"""Judge a model and its peers on real clips, whose truth nobody knows: figures, sheets and slices in time.

    judge_real.py OUT CLIP ... [--crop X,Y,WIDTH,HEIGHT ...] [--first 0] [--frames 8] [--model compact]
                  [--peer FILE ...]

Of every clip each crop (pixels of the clip, as it is decoded; without one: the most detailed 112x80) is enlarged by
itself. Into OUT, a folder, go for each of them

    CLIP_N.png        its middle frame by every method, at 200 %
    CLIP_N_slice.png  one row of it, where it has most detail, in all frames, at 200 % and eight lines a frame: steady
                      detail makes stripes, flicker makes dashes

and `real.md`, the figures:

bands     the deviation of the finest band of detail to the next in the source (`band_ratio`; old film 0.54 to 0.62)
sharp     fine detail, as a multiple of the bicubic enlargement's; speckle counts as detail, so look
ewarp     1e3 x mean squared difference to the frame before, moved along the motion of the bicubic enlargement
flicker   1e3 x mean second difference in time beyond the bicubic enlargement's, where that stands still
colour    largest difference of a frame's mean colour to the source's, 8-bit codes

--peer is the .param file of any network that enlarges four times in ncnn's format, its .bin beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from evaluate import Method, bicubic, mean_figures, own, peer, table
from PIL import Image

from dossr_video.quality.figures import Clip, colour_shift, detail
from dossr_video.quality.motion import MotionTruth
from dossr_video.report.picture import label, most_detailed
from dossr_video.training.degradation import band_ratio

DETAILED = 112, 80  # width, height of the part that is taken when none is named
ZOOM, LINES = 2, 8  # of a sheet; lines of a slice for each frame
COLUMNS = ("bands", "sharp", "ewarp", "flicker", "colour")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--crop", type=crop, action="append", default=[], metavar="X,Y,WIDTH,HEIGHT")
    parser.add_argument("--first", type=int, default=0, help="frame")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--model", default="compact", help="a name or a file, as `dossr-video --model` takes it")
    parser.add_argument("--peer", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def crop(text: str) -> tuple[int, int, int, int]:
    x, y, width, height = (int(number) for number in text.split(","))
    return x, y, width, height


def decoded(file: Path, first: int, count: int) -> Clip:
    with av.open(str(file)) as container:
        frames = islice(container.decode(video=0), first, first + count)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def parts(clip: Clip, crops: Sequence[tuple[int, int, int, int]]) -> list[Clip]:
    height, width = clip.shape[1:3]
    if not crops:
        size = min(DETAILED[0], width), min(DETAILED[1], height)
        crops = [(*most_detailed(clip[len(clip) // 2], size), *size)]
    for x, y, w, h in crops:
        if x < 0 or y < 0 or x + w > width or y + h > height:
            raise SystemExit(f"crop {x},{y},{w},{h} is not within the clip's {width}x{height}")
    return [np.ascontiguousarray(clip[:, y : y + h, x : x + w]) for x, y, w, h in crops]


def figures(results: Mapping[str, Clip], source: Clip) -> dict[str, dict[str, float | None]]:
    """By method; the bicubic enlargement must be among them."""
    smooth = results["bicubic"]
    motion = MotionTruth(smooth)
    times = range(1, len(smooth))
    rows = {}
    for name, clip in results.items():
        flickers = [value for t in times if (value := motion.flicker(clip, t)) is not None]
        rows[name] = {
            "bands": band_ratio(source),
            "sharp": sharpness(clip) / max(1e-6, sharpness(smooth)),
            "ewarp": 1e3 * float(np.mean([motion.warping_error(clip, t) for t in times])) if times else None,
            "flicker": 1e3 * float(np.mean(flickers)) if flickers else None,
            "colour": colour_shift(clip, source),
        }
    return rows


def sharpness(clip: Clip) -> float:
    return float(np.mean([detail(frame.astype(np.float32)) for frame in clip]))


def side_by_side(pictures: Mapping[str, np.ndarray]) -> Image.Image:
    """Pictures with their names, as many in a row as make a sheet that is about square."""
    height, width = next(iter(pictures.values())).shape[:2]
    columns = max(1, round((len(pictures) * height / width) ** 0.5))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + 4), rows * (height + 4)))
    for i, (name, picture) in enumerate(pictures.items()):
        corner = i % columns * (width + 4), i // columns * (height + 4)
        sheet.paste(Image.fromarray(picture), corner)
        label(sheet, corner, name, size=14)
    return sheet


def zoomed(picture: np.ndarray, across: int, down: int) -> np.ndarray:
    return np.repeat(np.repeat(picture, across, axis=1), down, axis=0)


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    peers = [peer(file.with_suffix("")) for file in options.peer]
    methods = [Method("bicubic", "cv2.INTER_CUBIC", bicubic), *peers, *own(options.model, [])]
    options.out.mkdir(parents=True, exist_ok=True)
    page, all_rows = ["# Real clips", ""], []
    for file in options.clips:
        for n, source in enumerate(parts(decoded(file, options.first, options.frames), options.crop)):
            results = {method.name: method.enlarge(source) for method in methods}
            middle = {name: clip[len(clip) // 2] for name, clip in results.items()}
            side_by_side({k: zoomed(v, ZOOM, ZOOM) for k, v in middle.items()}).save(
                options.out / f"{file.stem}_{n}.png"
            )
            height, width = middle["bicubic"].shape[:2]
            row = most_detailed(middle["bicubic"], (width, min(9, height)))[1] + min(9, height) // 2
            slices = {name: zoomed(clip[:, row], ZOOM, LINES) for name, clip in results.items()}
            side_by_side(slices).save(options.out / f"{file.stem}_{n}_slice.png")
            rows = figures(results, source)
            all_rows.append(rows)
            page += [*table(rows, COLUMNS, f"{file.stem}_{n}"), ""]
    means = {m.name: mean_figures([rows[m.name] for rows in all_rows]) for m in methods}
    page += [*table(means, COLUMNS, "mean"), ""]
    (options.out / "real.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    main()
