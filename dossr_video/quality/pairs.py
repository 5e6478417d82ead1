"""Evaluation pairs: a good clip as ground truth, and the same clip four times smaller and damaged as input.

Everything a pair holds before encoding is a pure function of the clip, the kind and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal, cast

import av
import cv2
import numpy as np

from dossr_video.errors import SourceError
from dossr_video.video.write.encoders import reproducible_x264

Kind = Literal["clean", "compressed", "film"]
SCALE = 4
MULTIPLE = 16  # ground-truth sides; their quarters are then good for 4:2:0
RATE = Fraction(25)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two clips of uint8 RGB frames."""

    truth: np.ndarray  # (T, 4 H, 4 W, 3)
    source: np.ndarray  # (T, H, W, 3)


def read_clip(path: Path, *, frames: int | None = None) -> np.ndarray:
    """The first `frames` frames (all of them when None) as uint8 RGB (T, H, W, 3), in display order.

    Raises SourceError when the file cannot be read or holds fewer frames.
    """
    try:
        with av.open(path) as container:
            clip = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), frames)]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise SourceError(f"{path} cannot be read: {error}", hint="give a folder that holds the clip") from error
    if not clip or (frames is not None and len(clip) < frames):
        raise SourceError(f"{path} has {len(clip)} frames, {frames or 1} are needed", hint="ask for fewer frames")
    return np.stack(clip)


def ground_truth(clip: np.ndarray, *, height: int) -> np.ndarray:
    """`clip` shrunk to `height` pixels, when it is larger, and cut to sides that are multiples of MULTIPLE.

    Area averaging also hides the clip's own compression.
    """
    factor = height / clip.shape[1]
    if factor < 1:
        size = round(clip.shape[2] * factor), round(clip.shape[1] * factor)
        clip = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip])
    return clip[:, : clip.shape[1] // MULTIPLE * MULTIPLE, : clip.shape[2] // MULTIPLE * MULTIPLE]


def damage(truth: np.ndarray, kind: Kind, *, seed: int) -> np.ndarray:
    """The input before it is encoded, uint8 (T, H / 4, W / 4, 3).

    clean        anti-aliased, bicubic
    compressed   slight blur, area averaging, sensor noise
    film         blur, gate weave, area averaging, exposure flicker, grain, dust, scratches
    """
    rng = np.random.default_rng(seed)
    if kind == "film":
        frames = _film(truth, rng)
    elif kind == "compressed":
        frames = [f + rng.normal(0, 3, f.shape) for f in map(_shrink, (_blur(f, 1.0) for f in truth))]
    else:
        frames = [_shrink(_blur(f, 1.0), interpolation=cv2.INTER_CUBIC) for f in truth]
    return np.stack([np.clip(f, 0, 255).round().astype(np.uint8) for f in frames])


def encode(clip: np.ndarray, path: Path, *, crf: int | None) -> None:
    """Write `clip` as H.264 4:2:0 of quality `crf`, or lossless FFV1 when None."""
    codec, layout = ("ffv1", "bgr0") if crf is None else ("libx264", "yuv420p")
    with av.open(path, "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=RATE))
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], layout
        if crf is None:
            stream.options = {"level": "3"}
        else:
            stream.options = {"crf": str(crf), "preset": "medium", "x264-params": reproducible_x264()}
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=layout)))
        container.mux(stream.encode())


def make_pair(clip: np.ndarray, folder: Path, name: str, *, height: int, kind: Kind, seed: int) -> tuple[Path, Path]:
    """Write FOLDER/NAME_gt.mkv (lossless) and the damaged FOLDER/NAME_lr.mp4, or .mkv for a clean one; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = ground_truth(clip, height=height)
    truth_path = folder / f"{name}_gt.mkv"
    source_path = folder / f"{name}_lr{'.mkv' if kind == 'clean' else '.mp4'}"
    encode(truth, truth_path, crf=None)
    encode(damage(truth, kind, seed=seed), source_path, crf={"clean": None, "compressed": 27, "film": 22}[kind])
    return truth_path, source_path


def _blur(frame: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma)


def _shrink(frame: np.ndarray, *, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    height, width = frame.shape[:2]
    return cv2.resize(frame, (width // SCALE, height // SCALE), interpolation=interpolation)


def _film(truth: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    height, width = truth.shape[1:3]
    weave = np.zeros(2)  # of the film in the gate, pixels
    scratch: int | None = None  # column
    frames = []
    for picture in truth:
        weave = 0.8 * (weave + rng.normal(0, 0.25, 2))
        shift = np.array([[1, 0, weave[0]], [0, 1, weave[1]]], np.float32)
        frame = _blur(picture, 1.6)
        frame = _shrink(cv2.warpAffine(frame, shift, (width, height), borderMode=cv2.BORDER_REFLECT))
        frame = frame * (1 + rng.normal(0, 0.02)) + _grain(frame.shape[:2], rng)[..., None]
        frame = _dust(frame, rng)
        scratch = _next_scratch(scratch, frame.shape[1], rng)
        if scratch is not None:
            frame[:, scratch] += 40
        frames.append(frame)
    return frames


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(rng.normal(0, 9, shape), (0, 0), 0.6)


def _dust(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = frame.shape[:2]
    for _ in range(rng.poisson(1.5)):
        centre = int(rng.integers(width)), int(rng.integers(height))
        radius = int(rng.integers(1, 3))
        cv2.circle(frame, centre, radius, (230,) * 3 if rng.random() < 0.5 else (20,) * 3, -1)
    return frame


def _next_scratch(scratch: int | None, width: int, rng: np.random.Generator) -> int | None:
    """The column of the scratch on the next frame: scratches come, stay for some frames and go."""
    if scratch is None:
        return int(rng.integers(width)) if rng.random() < 0.2 else None
    return None if rng.random() < 0.1 else scratch
