#!/usr/bin/env python3
"""What --dust, --native, --strength and --grain do, with pictures, figures and costs: docs/RESTORATION.md.

    show_restoration.py [--clip tests/data/sample.mp4] [--page docs/RESTORATION.md]

Old film is made from the clip: softened, with grain, or with specks of dust whose places are known. Pictures go to
`pictures/` beside the page. Costs are CPU seconds of this machine, as shares of the model's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model
from dossr_video.restoration.detail import SHARP, measure_detail
from dossr_video.restoration.dust import DustState, Mask, mend
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.grain_profile import measure_grain
from dossr_video.restoration.native import to_native
from dossr_video.temporal.flow import DisFlow

SIGMA = 2.0  # pixels
LEVEL = 7  # codes of 255

PAGE = """# Restoration: dust, native resolution, strength and grain

Made by `scripts/show_restoration.py` from {frames} frames of {clip}, {width}x{height}, with the model `compact`.
Pictures are at 200 %.

## The chain

Each frame passes, in this order:

1. **Dust** (`--dust`, off by default). Specks that one frame shows and neither the frame before nor the one after shows
   along the motion, and that do not fly on a straight path, are replaced from those two frames, or filled in from
   around where the two disagree. They are compared in the exposure of the frame, so a film that flickers needs no help
   first; and what comes after finds the motion on clean frames. The first and the last frame of a shot, or of a piece
   of a long shot, stay as they are: they have one neighbour only.
2. **Native resolution** (`--native`, auto by default). A source whose detail fills less than {sharp:.0%} of the pixel
   grid is made smaller, to the grid that it fills and never below half; the model then gets what it was trained on.
3. **Motion and deflicker** (`--deflicker`), on what the model gets.
4. **Model**, **strength** (`--strength`, 1 by default): how far its output goes from the restorer's output, or of a
   model without latents from plain enlargement, to what it invents.
5. **Blending** with the frame before (`--blend`).
6. **Grain** (`--grain`, remove by default): noise with the level, the size and the dependence on brightness that the
   source's grain has, less what the result still has of it. The result is then brought to the size that was asked for.

`probe` tells the detail and the grain of a file, and the report counts the specks shot by shot. All four are part of
what a resumed run must share with the run before.

## Dust

{dust}

![Dust: the frame, what was found, and the frame mended](pictures/restoration_dust.png)

What changes from frame to frame by itself, such as moving water and fire, is taken for dust here and there, so it is
off by default. Scratches that stand in the same place for many frames are not found.

## Native resolution

The clip was enlarged to three times its size and softened by a Gaussian of {sigma} pixels. {native}

![Native resolution: off and auto](pictures/restoration_native.png)

## Strength

![Strength 0, 0.5 and 1](pictures/restoration_strength.png)

{strength}

## Grain

{grain}

![Grain: the source enlarged plainly, removed, kept](pictures/restoration_grain.png)

## Cost

CPU time for a frame, as a share of the model's ({model:.2f} s):

| stage | share |
| --- | --- |
{costs}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=Path("tests/data/sample.mp4"))
    parser.add_argument("--page", type=Path, default=Path("docs/RESTORATION.md"))
    options = parser.parse_args()
    clip = read(options.clip, frames=5)
    pictures = options.page.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    model = load_model("compact", device="cpu", dtype="float32")
    seconds, _ = timed(lambda: upscale_frames(clip, model=model))
    costs: dict[str, float] = {}  # CPU seconds a frame
    texts = {
        "dust": show_dust(clip, pictures, costs),
        "native": show_native(model, clip, pictures, costs),
        "strength": show_strength(model, clip, pictures),
        "grain": show_grain(model, clip, pictures, costs),
        "costs": "\n".join(f"| {name} | {cost / seconds * len(clip):.1%} |" for name, cost in costs.items()),
    }
    height, width = clip.shape[-2:]
    facts = {"frames": len(clip), "clip": options.clip.name, "width": width, "height": height, "sigma": SIGMA}
    page = PAGE.format(**facts, **texts, sharp=SHARP, model=seconds / len(clip))
    options.page.write_text(page, encoding="utf-8")


def show_dust(clip: Tensor, pictures: Path, costs: dict[str, float]) -> str:
    dirty, planted = with_dust(clip)
    seconds, (clean, found) = timed(lambda: mended(dirty))
    costs["dust"] = seconds / (len(clip) - 2)
    inside = slice(1, -1)
    false = mended(clip)[1][inside].mean()
    places = planted[inside]
    hit = (found[inside] & places).sum() / places.sum()
    after, before = (255 * (frames - clip)[inside].abs().mean(1).numpy()[places].mean() for frames in (clean, dirty))
    mark = torch.from_numpy(found[2]).float().expand(3, -1, -1)
    save(pictures / "restoration_dust.png", dirty[2], mark, clean[2])
    return (
        f"{places.mean():.2%} of the pixels were planted specks and hairs. {hit:.0%} of them were found, their mean "
        f"error went\nfrom {before:.0f} to {after:.1f} codes of 255, and on the clean clip {false:.3%} of the pixels "
        "were taken for dust."
    )


def show_native(model: PictureModel, clip: Tensor, pictures: Path, costs: dict[str, float]) -> str:
    large = F.interpolate(clip[:1], scale_factor=3, mode="bicubic").clamp(0, 1)
    soft = gaussian_blur2d(large, (15, 15), (SIGMA, SIGMA))
    seconds, detail = timed(lambda: measure_detail(soft))
    costs["measuring detail, for each of a few frames of a file"] = seconds / 9  # of nine times as many pixels
    costs["native resolution"] = timed(lambda: to_native(clip, 0.6))[0] / len(clip)
    slow, off = timed(lambda: upscale_frames(soft, model=model, scale=2, native="off"))
    fast, auto = timed(lambda: upscale_frames(soft, model=model, scale=2, native="auto"))
    save(pictures / "restoration_native.png", *(middle(picture[0], 300) for picture in (off, auto)))
    return f"Its detail was\nmeasured at {detail:.2f} of the grid; the model took {fast / slow:.0%} of the time."


def show_strength(model: PictureModel, clip: Tensor, pictures: Path) -> str:
    strengths = (0.0, 0.5, 1.0)
    results = [upscale_frames(clip[:1], model=model, strength=strength)[0] for strength in strengths]
    save(pictures / "restoration_strength.png", *(middle(picture, 160) for picture in results))
    away = [255 * float((picture - results[0]).abs().mean()) for picture in results]
    told = ", ".join(f"{distance:.2f} at {strength:g}" for distance, strength in zip(away, strengths, strict=True))
    return f"Mean distance from strength 0, codes of 255: {told}."


def show_grain(model: PictureModel, clip: Tensor, pictures: Path, costs: dict[str, float]) -> str:
    noisy = (clip[:2] + grain_of(clip[:2], level=LEVEL / 255)).clamp(0, 1)
    size = (clip.shape[-2], clip.shape[-1])
    seconds, profile = timed(lambda: measure_grain(noisy[:1]))
    costs["measuring grain, for each of a few frames of a file"] = seconds
    removed, kept = (upscale_frames(noisy, model=model, grain=grain) for grain in ("remove", "keep"))
    seconds, _ = timed(lambda: add_grain(removed, (0, 1), profile, 1.0, size=size, seed=0, shot=0))
    costs["grain"] = seconds / 2
    plain = F.interpolate(noisy, scale_factor=4, mode="bicubic").clamp(0, 1)
    save(pictures / "restoration_grain.png", *(middle(picture[1], 160) for picture in (plain, removed, kept)))

    def level(frames: Tensor) -> float:
        found = measure_grain(F.interpolate(frames, size, mode="area"))
        return 0.0 if found is None else 255 * sum(found.levels) / len(found.levels)

    return (
        f"Grain of {LEVEL} codes was added to the clip: {level(noisy):.1f} were measured in it, and in the result at "
        f"the source's size\n{level(removed):.1f} (remove) and {level(kept):.1f} (keep)."
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what the work gave."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def read(path: Path, *, frames: int) -> Tensor:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), frames)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def with_dust(clip: Tensor) -> tuple[Tensor, Mask]:
    """The clip with specks, blots and hairs on every frame, and where they are (T, H, W)."""
    rng = np.random.default_rng(4)
    marked = clip.clone()
    height, width = clip.shape[-2:]
    for frame in marked:
        layer, value = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        for i in range(max(3, height * width // 3000)):
            x, y = int(rng.integers(width)), int(rng.integers(height))
            speck = np.zeros_like(layer)
            if i % 3 < 2:
                cv2.circle(speck, (x, y), int(rng.integers(1, 4)), 1.0, -1)
            else:
                points = np.cumsum(rng.normal(0, 2.5, (7, 2)), 0) + np.array([x, y])
                cv2.polylines(speck, [points.astype(np.int32)], False, 1.0, 1)
            value = np.where(speck > 0, np.float32(rng.choice([0.08, 0.92])), value)
            layer = np.maximum(layer, speck)
        layer = cv2.GaussianBlur(layer, (0, 0), 0.5)
        value = cv2.dilate(value, np.ones((3, 3), np.uint8))
        frame[:] = frame + (torch.from_numpy(value) - frame) * torch.from_numpy(layer)
    return marked, ((marked - clip).abs().mean(1) > 0.04).numpy()


def mended(clip: Tensor) -> tuple[Tensor, Mask]:
    state, frames, masks = DustState(), [], []
    for i, frame in enumerate(clip):
        after = clip[i + 1] if i + 1 < len(clip) else None
        result, mask, state = mend(frame, after, state, DisFlow(), sensitivity=0.5)
        frames.append(result)
        masks.append(mask)
    return torch.stack(frames), np.stack(masks)


def grain_of(clip: Tensor, *, level: float) -> Tensor:
    noise = torch.randn(len(clip), 1, *clip.shape[-2:], generator=torch.Generator().manual_seed(0))
    noise = gaussian_blur2d(noise, (5, 5), (0.7, 0.7))
    return noise / noise.std() * level


def middle(picture: Tensor, side: int = 240) -> Tensor:
    height, width = picture.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return picture[:, top : top + side, left : left + side]


def save(path: Path, *pictures: Tensor) -> None:
    """Pictures beside each other, at 200 %."""
    gap = torch.ones(3, pictures[0].shape[1], 4)
    row = torch.cat([part for picture in pictures for part in (picture, gap)][:-1], 2)
    pixels = row.mul(255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    cv2.imwrite(str(path), pixels.repeat(2, 0).repeat(2, 1), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
