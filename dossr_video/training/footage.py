"""Sharp short clips with motion: a camera moved over photographs, things moved across them, and real clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.errors import SourceError

Image = NDArray[np.uint8]
Random = np.random.Generator

_CLIP_HEIGHT = 360  # pixels; real clips are shrunk to it, which hides their own compression
_CLIP_FRAMES = 120  # of each real clip


@dataclass(frozen=True)
class Footage:
    """Where clips come from."""

    photographs: tuple[Path, ...]
    clips: tuple[NDArray[np.uint8], ...]  # each (T, H, W, 3)

    @classmethod
    def of(cls, photographs: Path, clips: Path | None) -> Footage:
        """All pictures of a folder and, shrunk, all videos of another. Raises SourceError when there is no picture."""
        pictures = tuple(sorted(file for file in photographs.glob("*") if file.suffix in (".jpg", ".jpeg", ".png")))
        if not pictures:
            raise SourceError(f"{photographs} holds no picture", hint="name a folder of .jpg or .png photographs")
        return cls(pictures, tuple(_read_clip(file) for file in sorted(clips.iterdir())) if clips else ())

    def draw(self, rng: Random, *, frames: int, side: int) -> NDArray[np.uint8]:
        """A clip (frames, side, side, 3) RGB; one of ten is a real one."""
        if self.clips and rng.random() < 0.1:
            clip = _cut(self.clips[rng.integers(len(self.clips))], rng, frames, side)
        else:
            clip = self._moved(rng, frames, side)
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        if rng.random() < 0.5:
            clip = clip[::-1]
        return np.ascontiguousarray(clip)

    def _moved(self, rng: Random, frames: int, side: int) -> NDArray[np.uint8]:
        clip = _camera(self._photograph(rng), rng, frames, side)
        if rng.random() < 0.35:
            thing = _camera(self._photograph(rng), rng, frames, side)
            mask = _camera(_blob(rng, side), rng, frames, side)[..., :1].astype(np.float32) / 255
            clip = (clip + mask * (thing.astype(np.float32) - clip)).round().astype(np.uint8)
        return clip

    def _photograph(self, rng: Random) -> Image:
        file = self.photographs[rng.integers(len(self.photographs))]
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise SourceError(f"{file} is not a picture that OpenCV reads", hint="take it out of the folder")
        return np.asarray(image[..., ::-1], np.uint8)


def _camera(image: Image, rng: Random, frames: int, side: int) -> NDArray[np.uint8]:
    """Pan, zoom and rotation over a picture, with a hand that shakes in some clips."""
    h, w = image.shape[:2]
    speed = rng.choice([0.0, 1.0, 4.0, 10.0], p=[0.15, 0.3, 0.4, 0.15])  # pixels a frame, at most
    pan, shake = rng.uniform(-speed, speed, 2), rng.choice([0.0, 0.5]) * speed / 4
    turn, zoom = rng.normal(0, 0.003) * (speed > 0), rng.normal(0, 0.004) * (speed > 0)
    # A shrunk photograph is sharp: detail at the pixel level is what the model must learn to draw. An enlarged one is
    # soft, as many a scene is.
    scale = min(rng.uniform(0.6, 1.8), min(h, w) / side)
    angle = rng.choice([0.0, 0.5 * np.pi]) + rng.normal(0, 0.05)
    margin = 0.5 * side * scale
    centre = np.array([rng.uniform(margin, max(w - margin, margin)), rng.uniform(margin, max(h - margin, margin))])
    if scale > 1.25:
        image = cv2.resize(image, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
        centre, scale = centre / scale, 1.0
    clip = []
    for i in range(frames):
        size, direction = scale * np.exp(zoom * i), angle + turn * i
        place = centre + pan * i + rng.normal(0, 1, 2) * shake
        cos, sin = size * np.cos(direction), size * np.sin(direction)
        back = np.array([[cos, -sin, place[0]], [sin, cos, place[1]]])
        back[:, 2] -= back[:, :2] @ np.array([side / 2, side / 2])
        clip.append(
            cv2.warpAffine(
                image, back, (side, side), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
            )
        )
    return np.stack(clip)


def _blob(rng: Random, side: int) -> Image:
    """The outline of a thing, white on black, as large as a frame."""
    canvas = np.zeros((2 * side, 2 * side, 3), np.uint8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = rng.uniform(0.2, 0.5, 7) * side
    corners = np.stack([side + radii * np.cos(angles), side + radii * np.sin(angles)], 1).astype(np.int32)
    return np.asarray(cv2.GaussianBlur(cv2.fillPoly(canvas, [corners], (255, 255, 255)), (0, 0), 1.2), np.uint8)


def _cut(clip: NDArray[np.uint8], rng: Random, frames: int, side: int) -> NDArray[np.uint8]:
    t, h, w = clip.shape[:3]
    start, y, x = (int(rng.integers(0, size + 1)) for size in (t - frames, max(h - side, 0), max(w - side, 0)))
    part = clip[start : start + frames, y : y + side, x : x + side]
    short = side - part.shape[1], side - part.shape[2]
    return np.pad(part, ((0, 0), (0, short[0]), (0, short[1]), (0, 0)), mode="reflect")


def _read_clip(file: Path) -> NDArray[np.uint8]:
    frames: list[Image] = []
    with av.open(str(file)) as container:
        for frame in container.decode(video=0):
            factor = _CLIP_HEIGHT / frame.height
            size = round(frame.width * factor), _CLIP_HEIGHT
            frames.append(np.asarray(cv2.resize(frame.to_ndarray(format="rgb24"), size, interpolation=cv2.INTER_AREA)))
            if len(frames) == _CLIP_FRAMES:
                break
    return np.stack(frames)


def split(files: Sequence[Path], every: int) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """All files but each `every`-th, and those: what is trained on, and what is held out."""
    held = tuple(files[every - 1 :: every])
    return tuple(file for file in files if file not in held), held
