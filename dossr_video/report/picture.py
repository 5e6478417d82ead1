"""The before/after picture: a part of one frame twice, and two details of it, before and after."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dossr_video.report.moments import Moment, Picture, moments
from dossr_video.video.info import ANY, Choice
from dossr_video.video.read.reader import ReadSpec

WIDTH = 1600  # pixels at most
GAP = 4  # pixels
INK, PAPER = "white", "black"


def before_after(source: Path, target: Path, picture: Path, *, read: ReadSpec, choice: Choice = ANY) -> None:
    """Write `picture`, a PNG, of the result's middle frame (of its first 250, when it is longer).

    Above, the half of the frame with most detail: on the left from the source, enlarged by bicubic interpolation, on
    the right from the result. Below, the most detailed part of each half of the frame, before and after. `read` and
    `choice` as in `moments`. Raises as `moments` does, and OSError when `picture` cannot be written.
    """
    (moment,) = moments(Path(source), Path(target), count=1, read=read, choice=choice)
    draw(moment).save(picture, format="PNG")


def draw(moment: Moment) -> Image.Image:
    before, after = moment.before, moment.after
    height, width = after.shape[:2]
    side = (width - 3 * GAP) // 4, min(height, width * 3 // 16)  # of a detail: width, height

    sheet = Image.new("RGB", (width, height + GAP + side[1]), PAPER)
    half = (width - GAP) // 2
    x, _ = most_detailed(after, (half, height))
    for j, shown in enumerate((before, after)):
        sheet.paste(Image.fromarray(shown[:, x : x + half]), (j * (half + GAP), 0))

    halves = (0, width // 2), (width // 2, width)
    for i, (left, right) in enumerate(halves):
        x, y = most_detailed(after[:, left:right], side)
        for j, shown in enumerate((before, after)):
            detail = shown[y : y + side[1], left + x : left + x + side[0]]
            sheet.paste(Image.fromarray(detail), ((2 * i + j) * (side[0] + GAP), height + GAP))

    if width > WIDTH:
        sheet = sheet.resize((WIDTH, round(sheet.height * WIDTH / width)), Image.Resampling.LANCZOS)
    scale = sheet.width / width
    labels = {
        (0, 0): f"before: {moment.source.shape[1]}x{moment.source.shape[0]}, enlarged",
        (half + GAP, 0): f"after: {width}x{height}",
        **{(i * (side[0] + GAP), height + GAP): ("before", "after")[i % 2] for i in range(4)},
    }
    for (x, y), text in labels.items():
        label(sheet, (round(x * scale), round(y * scale)), text, size=max(10, sheet.width // 60))
    return sheet


def most_detailed(picture: Picture, size: tuple[int, int]) -> tuple[int, int]:
    """Left upper corner x, y of the part of `size` (width, height) in which `picture` changes most."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2))
    sums = np.pad(detail.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    width, height = size
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(x), int(y)


def label(sheet: Image.Image, corner: tuple[int, int], text: str, *, size: int) -> None:
    """Write `text` on a plate whose left upper corner is x, y; `size` of the letters in pixels."""
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=size)
    x, y = corner[0] + GAP, corner[1] + GAP
    left, top, right, bottom = draw.textbbox((x, y), text, font=font)
    draw.rectangle((left - GAP, top - GAP, right + GAP, bottom + GAP), fill=PAPER)
    draw.text((x, y), text, fill=INK, font=font)
