"""What the Python API offers beside `Settings` and the errors: a file, or frames in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from os import PathLike, fspath
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.frames import Chunk
from dossr_video.jobs.progress import OnProgress, Progress, no_progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import resolve_sampling, resolve_temporal
from dossr_video.jobs.run import run_job
from dossr_video.models.base import DomainShiftModel, PictureModel
from dossr_video.models.raft import load_flow
from dossr_video.models.registry import load_model
from dossr_video.pipeline.memory import MemoryBudget
from dossr_video.pipeline.segment import Read, chunk_length, upscaled, with_motion
from dossr_video.settings import Settings
from dossr_video.temporal.flow import FlowEstimator, luma
from dossr_video.temporal.shots import SIZE, find_shots

Frames = TypeVar("Frames", Tensor, NDArray[np.uint8])

__all__ = ["Progress", "load_model", "upscale", "upscale_frames"]


def upscale(
    source: str | PathLike[str],
    target: str | PathLike[str],
    settings: Settings | None = None,
    *,
    on_progress: OnProgress = no_progress,
    force: bool = False,
    restart: bool = False,
) -> Report:
    """Restore and enlarge a file, all other streams kept; goes on where an interrupted run stopped.

    Args:
        source: A path or URL.
        target: A path or URL; its extension says which container is written. It gets its name when everything is
            complete, never before.
        settings: All options; None: their defaults.
        on_progress: Called with a Progress event for every few frames.
        force: Whether a target that exists is overwritten.
        restart: Whether to drop what an interrupted run had finished.

    Returns:
        What was done and found.

    Raises:
        errors.DossrError: With what came and the rule as `message`, and the remedy as `hint`.
    """
    return run_job(
        fspath(source), fspath(target), settings or Settings(), force=force, restart=restart, on_progress=on_progress
    )


def upscale_frames(
    frames: Frames,
    *,
    model: PictureModel | None = None,
    flow: FlowEstimator | None = None,
    settings: Settings | None = None,
) -> Frames:
    """Restore and enlarge consecutive frames in memory; cuts among them are found and respected.

    Takes and gives either RGB float tensors (T, 3, H, W) in [0, 1] or uint8 arrays (T, H, W, 3). `model` comes from
    `load_model`; without it the settings name one, which is loaded at every call. `flow` is optical flow of your own in
    the place of the one the settings name. Raises ValueError for other shapes.
    """
    settings = settings or Settings()
    if model is None:
        model = load_model(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            cfg_scale=settings.cfg_scale,
        )
    pictures: Tensor = _to_tensor(frames)
    starts = [*find_shots(_small_lumas(pictures)), len(pictures)]
    height, width = pictures.shape[-2:]
    size = _target_size(width, height, settings)
    defaults = model.defaults if isinstance(model, DomainShiftModel) else None
    sampling = resolve_sampling(settings, defaults, model=model.name)
    temporal = resolve_temporal(settings, seed=settings.seed)
    length = settings.chunk or chunk_length(width, height, scale=model.scale)
    flow = flow or load_flow(settings.flow, device=model.device)
    budget = MemoryBudget(model, flow, frames=length, tile=settings.tile)
    results: list[Tensor] = []
    for shot, (start, stop) in enumerate(pairwise(starts)):
        work = with_motion(_cut(pictures, start, stop, length), budget, _ignore, temporal)
        done = upscaled(work, budget, _ignore, sampling, temporal, size, shot=shot)
        results += [result.pictures for result in done]
    enlarged = torch.cat(results) if results else pictures.new_zeros(0, 3, *size)
    if isinstance(frames, Tensor):
        return enlarged
    return enlarged.mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def _cut(pictures: Tensor, start: int, stop: int, length: int) -> Iterator[Read]:
    for first in range(start, stop, length):
        indices = tuple(range(first, min(first + length, stop)))
        yield Chunk(pictures[first : indices[-1] + 1], indices, indices), ((),) * len(indices), None, None


def _target_size(width: int, height: int, settings: Settings) -> tuple[int, int]:
    """Height and width of the result of width x height frames; a side that is not given keeps the aspect."""
    if settings.width is not None or settings.height is not None:
        new_width = settings.width or round(width * settings.height / height / 2) * 2  # type: ignore[operator]
        new_height = settings.height or round(height * new_width / width / 2) * 2
        return new_height, new_width
    return height * settings.scale, width * settings.scale


def _to_tensor(frames: Tensor | NDArray[np.uint8]) -> Tensor:
    if isinstance(frames, Tensor) and frames.ndim == 4 and frames.shape[1] == 3 and frames.is_floating_point():
        return frames.float()
    if isinstance(frames, np.ndarray) and frames.ndim == 4 and frames.shape[3] == 3 and frames.dtype == np.uint8:
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(255)
    raise ValueError(
        f"frames of shape {tuple(frames.shape)} and type {frames.dtype} must be a float tensor (T, 3, H, W) in [0, 1] "
        "or a uint8 array (T, H, W, 3)"
    )


def _small_lumas(pictures: Tensor) -> Iterator[NDArray[np.uint8]]:
    for picture in pictures:
        small = torch.nn.functional.interpolate(luma(picture[None]), SIZE, mode="area")
        yield small[0, 0].mul(255).round().byte().numpy()


def _ignore(warning: str) -> None:
    pass
