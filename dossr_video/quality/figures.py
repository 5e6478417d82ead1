"""Figures of a result against its ground truth, for clips of uint8 RGB frames (T, H, W, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dossr_video.quality.motion import MotionTruth
from dossr_video.quality.networks import Networks

Clip = np.ndarray[tuple[int, int, int, int], np.dtype[np.uint8]]
Picture = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]  # RGB in [0, 255]

VGG_FRAMES = 6  # at most; VGG16 is slow, and neighbouring frames say much the same
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Figures:
    """Means over a clip; None where the clip is too short or has nothing to measure."""

    psnr: float  # dB, RGB; higher is better
    ssim: float  # luma, Gaussian window of 11 taps; higher
    lpips: float  # VGG16, at most VGG_FRAMES frames; lower
    dists: float  # VGG16, the same frames; lower
    lpips_a: float  # AlexNet, every frame; lower
    tlpips: float | None  # 1e3 * |LPIPS_A between the result's neighbours - between the truth's|; lower
    ewarp: float | None  # 1e3 * mean square of frame t against t-1 warped by the truth's flow, in [0, 1]; lower
    flicker: float | None  # 1e3 * mean |second difference in time| beyond the truth's, where the truth is still; lower
    sharp: float  # fine detail, as a fraction of the truth's; near 1


def judge(results: Mapping[str, Clip], truth: Clip, networks: Networks) -> dict[str, Figures]:
    """Figures for every result, all of the truth's shape (ValueError when not).

    The results are judged together because flow and features of the truth, most of the work, are the same for all.
    """
    for name, result in results.items():
        if result.shape != truth.shape:
            raise ValueError(f"{name} of shape {result.shape} must have the ground truth's shape {truth.shape}")
    vgg_frames = set(np.linspace(0, len(truth) - 1, min(VGG_FRAMES, len(truth))).round().astype(int).tolist())
    motion = MotionTruth(truth)
    rows: dict[str, dict[str, list[float]]] = {name: {f.name: [] for f in fields(Figures)} for name in results}

    for t in range(len(truth)):
        target = truth[t].astype(np.float32)
        for name, result in results.items():
            picture = result[t].astype(np.float32)
            rows[name]["psnr"].append(psnr(picture, target))
            rows[name]["ssim"].append(ssim(picture, target))
            rows[name]["sharp"].append(detail(picture) / max(1e-6, detail(target)))
        clips = [result[t] for result in results.values()]
        _append(rows, "lpips_a", networks.lpips_a(_tensor(clips), _tensor([truth[t]])))
        if t in vgg_frames:
            _append(rows, "lpips", networks.lpips(_tensor(clips), _tensor([truth[t]])))
            _append(rows, "dists", networks.dists(_tensor(clips), _tensor([truth[t]])))
        if t == 0:
            continue
        before = [result[t - 1] for result in results.values()]
        change = networks.lpips_a(_tensor([*before, truth[t - 1]]), _tensor([*clips, truth[t]]))
        _append(rows, "tlpips", 1e3 * (change[:-1] - change[-1]).abs())
        for name, result in results.items():
            rows[name]["ewarp"].append(1e3 * motion.warping_error(result, t))
            flicker = motion.flicker(result, t)
            if flicker is not None:
                rows[name]["flicker"].append(1e3 * flicker)
    return {name: Figures(**{figure: _mean(values) for figure, values in row.items()}) for name, row in rows.items()}


def psnr(picture: Picture, truth: Picture) -> float:
    """Peak signal-to-noise ratio in dB; 108 dB for equal pictures."""
    return float(10 * np.log10(255**2 / max(1e-6, float(((picture - truth) ** 2).mean()))))


def ssim(picture: Picture, truth: Picture) -> float:
    """Structural similarity of the luma (Wang et al. 2004), away from the border the window does not fill."""
    a, b = picture @ LUMA, truth @ LUMA
    mean_a, mean_b = _window(a), _window(b)
    variance = _window(a * a) - mean_a**2 + _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance + c2))
    return float(similarity[5:-5, 5:-5].mean())


def detail(picture: Picture) -> float:
    """Mean absolute difference between a picture and its blur: how much fine detail it has."""
    return float(np.abs(picture - cv2.GaussianBlur(picture, (0, 0), 1.2)).mean())


def colour_shift(result: Clip, source: Clip) -> float:
    """Largest difference, over frames and channels, between mean colours of a result and its input, in 8-bit codes."""
    means = (np.stack([frame.mean((0, 1)) for frame in clip]) for clip in (result, source))
    return float(np.abs(next(means) - next(means)).max())


def _mean(values: Sequence[float]) -> Any:
    return float(np.mean(values)) if values else None


def _window(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (11, 11), 1.5)


def _tensor(frames: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def _append(rows: Mapping[str, dict[str, list[float]]], figure: str, values: Tensor) -> None:
    for row, value in zip(rows.values(), values.tolist(), strict=True):
        row[figure].append(value)
