#!/usr/bin/env python3
"""What --dust, --native, --strength and --grain do, with pictures, figures and costs: docs/RESTORATION.md.

    show_restoration.py [MEDIA] [--film chaplin.mp4] [--clip tests/data/sample.mp4] [--page docs/RESTORATION.md]

MEDIA is a folder of clips in which dust is planted as the film recipe of training draws it, and looked for as they are;
--film names one of them that is old film. Without it, and for what needs a truth, old film is made from --clip:
softened, with grain, with specks of dust whose places are known. Pictures go to `pictures/` beside the page. Costs are
CPU seconds of this machine, as shares of the model's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from numpy.typing import NDArray
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.frames import luma
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model
from dossr_video.restoration.detail import SHARP, measure_detail
from dossr_video.restoration.dirt import DIRTY, MANY, SCRATCHED, measure_dust
from dossr_video.restoration.dust import DustState, mend
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.grain_profile import measure_grain
from dossr_video.restoration.native import to_native
from dossr_video.restoration.specks import Flow, Mask, Picture
from dossr_video.temporal.flow import DisFlow
from dossr_video.training.degradation import dust

SIDES = (160, 224)  # of the part of a clip that is looked at
SEEN = 10  # codes of 255 from which a planted place counts
CLIPS = {  # first frame, and by how much it is made smaller
    "carphone_pristine.mp4": (30, 1),
    "bikes.mp4": (150, 2),
    "vid4_calendar_gt.mkv": (0, 2),
    "vid4_walk_gt.mkv": (0, 2),
    "ducks_720p_vfr.mp4": (20, 3),
    "fire2.mp4": (5, 3),
    "MVI_4823.AVI": (10, 2),
    "roadtrip-vp92-10bit.webm": (10, 1),
    "nasa_13013.mp4": (40, 1),
    "chaplin.mp4": (60, 2),
}
SIGMA = 2.0  # pixels
LEVEL = 7  # codes of 255

PAGE = """# Restoration: dust, native resolution, strength and grain

Made by `scripts/show_restoration.py` from {frames} frames of {clip}, {width}x{height}, with the model `compact`.
Pictures are at 200 %.

## The chain

Each frame passes, in this order:

1. **Dust** (`--dust`, auto by default). **Specks** that one frame shows and neither the frame before nor the one after
   shows, whether these stand still, are moved as the motion was found, or as what is around moves. They are weighed by
   size, contrast, shape, unrest and the motion around, and grown to their soft edges. What comes in the same place
   frame after frame, blinks, flies on a straight path, is a part of something larger that moves, or is elsewhere in
   either of these frames, alike in brightness and size, is none: to erase a bird is worse than to leave a speck. Where
   many fly (rain, snow), and in a frame that is unlike both (a strobe), nothing is. Specks are
   replaced from both frames, or filled in from around where these disagree. They are compared in the exposure of the
   frame, so a film that flickers needs no help first; and what comes after finds the motion on clean frames. The first
   and the last frame of a shot keep their specks, for they have one neighbour only; the last frame of a piece of a long
   shot sees the first of the next. **Scratches**: thin upright lines over the height that stand in their place for some
   frames, let the picture through, and do not move with it, are evened out to both sides. `auto` looks at up to seven
   frames of three places of the file and mends, at a sensitivity of 0.5, what covers {dirty:.2%} of the picture and is
   seen in half of the frames, {many} specks at least, or scratches in {scratched:.0%} of the frames.
2. **Native resolution** (`--native`, auto by default). A source whose detail fills less than {sharp:.0%} of the pixel
   grid is made smaller, to the grid that it fills and never below half; the model then gets what it was trained on.
3. **Motion and deflicker** (`--deflicker`), on what the model gets.
4. **Model**, **strength** (`--strength`, 1 by default): how far its output goes from the restorer's output, or of a
   model without latents from plain enlargement, to what it invents.
5. **Blending** with the frame before (`--blend`).
6. **Grain** (`--grain`, remove by default): noise with the level, the size and the dependence on brightness that the
   source's grain has, less what the result still has of it. The result is then brought to the size that was asked for.

`probe` tells the dust, the detail, the flicker and the grain of a file. The report counts the specks and scratches shot
by shot and keeps a map of where they were, which its page shows. All of it is part of what a resumed run must share
with the run before. Blending draws in nothing that the frame before alone has: the motion is not trusted there.

## Dust

{dust}

![Dust: the frame, what was found, and the frame mended](pictures/restoration_dust.png)

{table}

Missed is mostly what looks like a speck nearby in a frame beside, as the round ones planted here do, and what lies on
things that move by more than the motion can be followed: whip pans, limbs, crowds.
A light that is on in one frame alone is taken for dust the first time. `auto` is the default because it leaves clean
clips alone: of the clips above, clean, {mended}.

{film}

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
    parser.add_argument("media", type=Path, nargs="?")
    parser.add_argument("--film", default="chaplin.mp4")
    parser.add_argument("--clip", type=Path, default=Path("tests/data/sample.mp4"))
    parser.add_argument("--page", type=Path, default=Path("docs/RESTORATION.md"))
    options = parser.parse_args()
    clip = read(options.clip, frames=5)
    pictures = options.page.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    model = load_model("compact", device="cpu", dtype="float32")
    seconds, _ = timed(lambda: upscale_frames(clip, model=model, dust="off"))
    costs: dict[str, float] = {}  # CPU seconds a frame
    texts = {
        **judge_dust(options.media),
        "film": "" if options.media is None else show_film(model, options.media / options.film, pictures),
        "dust": show_dust(clip, pictures, costs),
        "native": show_native(model, clip, pictures, costs),
        "strength": show_strength(model, clip, pictures),
        "grain": show_grain(model, clip, pictures, costs),
        "costs": "\n".join(f"| {name} | {cost / seconds * len(clip):.1%} |" for name, cost in costs.items()),
    }
    height, width = clip.shape[-2:]
    facts = {"frames": len(clip), "clip": options.clip.name, "width": width, "height": height, "sigma": SIGMA}
    limits = {"dirty": DIRTY, "many": MANY, "scratched": SCRATCHED}
    page = PAGE.format(**facts, **texts, sharp=SHARP, **limits, model=seconds / len(clip))
    options.page.write_text(page, encoding="utf-8")


def show_dust(clip: Tensor, pictures: Path, costs: dict[str, float]) -> str:
    dirty, planted = with_dust(clip)
    seconds, (clean, found) = timed(lambda: mended(dirty))
    costs["dust"] = seconds / (len(clip) - 2)
    costs["measuring dust, for each of some twenty frames of a file"] = timed(lambda: measure_dust([codes(clip)]))[
        0
    ] / len(clip)
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
    noisy = (clip[:4] + grain_of(clip[:4], level=LEVEL / 255)).clamp(0, 1)
    size = (clip.shape[-2], clip.shape[-1])
    seconds, profile = timed(lambda: measure_grain(noisy[:1], [noisy[1:]]))
    assert profile is not None, "the grain that was added"
    costs["measuring grain, for each of a few frames of a file"] = seconds
    removed, kept = (upscale_frames(noisy, model=model, grain=grain) for grain in ("remove", "keep"))
    seconds, _ = timed(lambda: add_grain(removed, (0, 1, 2, 3), profile, 1.0, size=size, seed=0, shot=0))
    costs["grain"] = seconds / len(noisy)
    plain = F.interpolate(noisy, scale_factor=4, mode="bicubic").clamp(0, 1)
    save(pictures / "restoration_grain.png", *(middle(picture[1], 160) for picture in (plain, removed, kept)))

    def level(frames: Tensor) -> float:
        small = F.interpolate(frames, size, mode="area")
        found = measure_grain(small[:1], [small[1:]])
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
    def find(frame: Picture, other: Picture) -> Flow:
        one, two = (torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in (frame, other))
        return DisFlow()(one, two)[0].numpy()

    state, frames, masks = DustState(), [], []
    for frame, after in pairwise([*clip.permute(0, 2, 3, 1).contiguous().numpy(), None]):
        result, state = mend(frame, after, state, find, sensitivity=0.5)
        frames.append(result.picture)
        masks.append(result.specks)
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2), np.stack(masks)


def codes(clip: Tensor) -> list[NDArray[np.uint8]]:
    return list(luma(clip)[:, 0].mul(255).round().byte().numpy())


def judge_dust(media: Path | None) -> dict[str, str]:
    """The table of what is found of planted dust, and what `auto` does with the clean clips."""
    if media is None:
        return {"table": "", "mended": "none was measured"}
    lines = [
        "| clip | false alarms on it | found of what is planted | with grain, softer |",
        "| --- | ---: | ---: | ---: |",
    ]
    figures, dirty = [], []
    for name, (start, factor) in CLIPS.items():
        clip = small(media / name, start=start, factor=factor)
        rng = np.random.default_rng(len(name))
        row = [float(mended(clip)[1][1:-1].mean())]
        for grain, blur in ((0.0, 0.0), (4.0, 0.5)):
            truth = (clip + grain_of(clip, level=grain / 255)).clamp(0, 1) if grain else clip
            marked = torch.from_numpy(dust(truth.permute(0, 2, 3, 1).numpy() * 255, rng, rate=1.5, radius=2.9) / 255)
            marked = marked.permute(0, 3, 1, 2).contiguous()
            if blur:
                truth, marked = (gaussian_blur2d(frames, (5, 5), (blur, blur)) for frames in (truth, marked))
            places = ((marked - truth).abs().mean(1) > SEEN / 255).numpy()[1:-1]
            row.append(float((mended(marked)[1][1:-1] & places).sum() / places.sum()))
        found = measure_dust([codes(clip)])
        dirty += [name] if found is not None and found.dirty else []
        figures.append(row)
        lines.append(f"| {name}, from frame {start} | {row[0]:.3%} | {row[1]:.0%} | {row[2]:.0%} |")
        print(lines[-1], flush=True)
    means = np.mean(figures, 0)
    lines.append(f"| mean | {means[0]:.3%} | {means[1]:.0%} | {means[2]:.0%} |")
    head = (
        "Planted as the film recipe of training draws it (1.5 specks of up to 2 pixels in 10,000 pixels of every "
        f"frame), of which\n`found` is the share of the area that is {SEEN} codes off; eight frames each:\n\n"
    )
    return {
        "table": head + "\n".join(lines),
        "mended": ", ".join(dirty) + " would be mended" if dirty else "none would be mended",
    }


def small(path: Path, *, start: int, factor: int) -> Tensor:
    """Eight frames, made smaller, their middle."""
    clip = read(path, frames=start + 8)[start:]
    clip = F.interpolate(clip, scale_factor=1 / factor, mode="area") if factor > 1 else clip
    top, left = (max(0, (side - wanted) // 2) for side, wanted in zip(clip.shape[-2:], SIDES, strict=True))
    return clip[..., top : top + SIDES[0], left : left + SIDES[1]].contiguous()


def show_film(model: PictureModel, path: Path, pictures: Path) -> str:
    """Real old film with a speck and a scratch that are planted: each stage of the chain, and slices in time."""
    clip = small(path, start=60, factor=2)[..., :120, :160].contiguous()
    marked, _ = with_dust(clip)
    marked[..., 60] += 0.12
    marked = marked.clamp(0, 1)
    stages = {
        "plain enlargement": F.interpolate(marked, scale_factor=2, mode="bicubic").clamp(0, 1),
        "the model, dust left, no blending": upscale_frames(marked, model=model, scale=2, dust="off", blend="off"),
        "dust mended": upscale_frames(marked, model=model, scale=2, dust=0.5, blend="off"),
        "blended": upscale_frames(marked, model=model, scale=2, dust=0.5),
        "evened out, grain kept": upscale_frames(marked, model=model, scale=2, dust=0.5, deflicker=True, grain="keep"),
    }
    save(pictures / "restoration_film.png", *(result[4] for result in stages.values()))
    # Rows are moments: eight rows of each, one line of pixels.
    slices = [result[:, :, 100].permute(1, 0, 2).repeat_interleave(8, 1) for result in stages.values()]
    save(pictures / "restoration_slices.png", *slices)
    return (
        f"Old film ({path.name}, from frame 60, half its size, with specks and a scratch planted) after each stage, "
        f"from left to right:\n{'; '.join(stages)}.\n\n"
        "![Each stage on old film](pictures/restoration_film.png)\n\n"
        "One line of pixels over eight frames, time downwards, in the same order:\n\n"
        "![Slices in time](pictures/restoration_slices.png)\n"
    )


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
