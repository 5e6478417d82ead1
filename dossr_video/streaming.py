"""Frames that stream by: shot after shot, each frame of the kind that came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.arrays import FrameKind
from dossr_video.errors import FramesError
from dossr_video.frames import Chunk, luma
from dossr_video.jobs.resolve import resolve_sampling, resolve_temporal, resolve_tiles
from dossr_video.models.base import DomainShiftModel, PictureModel
from dossr_video.models.footprint import size_of
from dossr_video.models.raft import load_flow
from dossr_video.pipeline.chunks import Read
from dossr_video.pipeline.memory import MemoryBudget
from dossr_video.pipeline.segment import chunk_length
from dossr_video.pipeline.stages import upscaled, with_motion
from dossr_video.restoration.detail import measure_detail
from dossr_video.restoration.dirt import RUN, measure_dust
from dossr_video.restoration.grain_profile import AFTER, measure_grain
from dossr_video.restoration.spec import RestorationSpec, resolve_restoration
from dossr_video.runspec import SamplingSpec, TemporalSpec
from dossr_video.settings import SIZES, Settings
from dossr_video.temporal.flow import FlowEstimator
from dossr_video.temporal.shots import SIZE, Luma, split_shots

Picture = tuple[Tensor, Tensor | None]  # RGB (3, H, W) in [0, 1] on the CPU, and opacity (1, H, W)


@dataclass(frozen=True, eq=False)
class Recipe:
    """What is to be done, before a frame is seen."""

    settings: Settings
    model: PictureModel
    flow: FlowEstimator
    sampling: SamplingSpec | None

    @classmethod
    def of(cls, settings: Settings, model: PictureModel, flow: FlowEstimator | None = None) -> Recipe:
        """Raises SettingsError for what does not fit the model, ModelError for an optical flow that is none."""
        defaults = model.defaults if isinstance(model, DomainShiftModel) else None
        sampling = resolve_sampling(settings, defaults, model=model.name)
        return cls(settings, model, flow or load_flow(settings.flow, device=model.device), sampling)

    @property
    def ahead(self) -> int:
        """Frames that are measured at the beginning."""
        return max(RUN if self.settings.dust == "auto" else 1, 1 if self.settings.grain == "remove" else 1 + AFTER)


@dataclass(frozen=True, eq=False)
class Upscaler:
    """Does the shots of one source, each by itself, in any order."""

    recipe: Recipe
    kind: FrameKind
    size: tuple[int, int]  # height and width of the result
    temporal: TemporalSpec
    restoration: RestorationSpec
    chunk: int
    budget: MemoryBudget

    @classmethod
    def of(cls, recipe: Recipe, kind: FrameKind, first: Sequence[Picture]) -> Upscaler:
        """What is measured is measured on the `first` frames, `recipe.ahead` of them: the others are not here yet."""
        settings, model = recipe.settings, recipe.model
        pictures = [picture for picture, _ in first]
        height, width = pictures[0].shape[-2:]
        tiles = resolve_tiles(
            settings, model.footprint, size_of(model.device), model=model.name, width=width, height=height
        )
        chunk = settings.chunk or chunk_length(width, height, scale=model.scale, device=model.device.type)
        return cls(
            recipe,
            kind,
            target_size(width, height, settings, model.scale),
            resolve_temporal(settings, seed=settings.seed),
            resolve_restoration(
                settings,
                detail=measure_detail(pictures[:1]),
                grain=measure_grain(pictures[:1], [pictures[1 : 1 + AFTER]]),
                dust=measure_dust([list(map(_codes, pictures))]) if settings.dust == "auto" else None,
                model_scale=model.scale,
            ),
            chunk,
            MemoryBudget(model, recipe.flow, frames=chunk, tiles=tiles),
        )

    def shot(self, pictures: Iterator[Picture], start: int) -> Iterator[Any]:
        """The results of a shot whose first frame has the index `start`."""
        read = _chunks(pictures, count(start), self.chunk)
        work = with_motion(read, self.budget, _ignore, self.temporal, self.restoration)
        done = upscaled(
            work, self.budget, _ignore, self.recipe.sampling, self.temporal, self.restoration, self.size, shot=start
        )
        for result in done:
            for i, picture in enumerate(result.pictures):
                yield self.kind.write(picture, None if result.alpha is None else result.alpha[i])


def streamed(kind: FrameKind, frames: Iterator[Any], recipe: Recipe) -> Iterator[Any]:
    """The results of frames of that kind, of which there is at least one. FramesError when their size changes."""
    pictures = _read(kind, frames)
    ahead = list(islice(pictures, recipe.ahead))
    upscaler = Upscaler.of(recipe, kind, ahead)
    start = 0
    for inside in split_shots(chain(ahead, pictures), small_luma):
        for result in upscaler.shot(inside, start):
            yield result
            start += 1


def read_picture(kind: FrameKind, frame: Any) -> Picture:
    """A frame on the CPU, where the pipeline takes it from. FramesError as FrameKind.read."""
    picture, alpha = kind.read(frame)
    return picture.cpu(), None if alpha is None else alpha.cpu()


def _read(kind: FrameKind, frames: Iterator[Any]) -> Iterator[Picture]:
    size: torch.Size | None = None
    for frame in frames:
        picture, alpha = read_picture(kind, frame)
        size = size or picture.shape
        if picture.shape != size:
            raise FramesError(
                f"a frame of {picture.shape[2]}x{picture.shape[1]} follows one of {size[2]}x{size[1]}",
                hint="give frames of one size",
            )
        yield picture, alpha


def _chunks(pictures: Iterator[Picture], indices: Iterator[int], length: int) -> Iterator[Read]:
    while batch := list(islice(pictures, length)):
        numbers = tuple(islice(indices, len(batch)))
        alphas = [alpha for _, alpha in batch if alpha is not None]
        chunk = Chunk(torch.stack([picture for picture, _ in batch]), numbers, numbers)
        yield chunk, ((),) * len(batch), torch.stack(alphas) if alphas else None, None


def target_size(width: int, height: int, settings: Settings, model_scale: int) -> tuple[int, int]:
    """Height and width of the result of width x height frames; a side that is not given keeps the aspect."""
    if settings.size is not None:
        factor = min(wide / side for wide, side in zip(SIZES[settings.size], (width, height), strict=True))
        return round(height * factor / 2) * 2, round(width * factor / 2) * 2
    if settings.width is not None or settings.height is not None:
        new_width = settings.width or round(width * settings.height / height / 2) * 2  # type: ignore[operator]
        new_height = settings.height or round(height * new_width / width / 2) * 2
        return new_height, new_width
    scale = settings.scale or model_scale
    return height * scale, width * scale


def _codes(picture: Tensor) -> NDArray[np.uint8]:
    """Luma (H, W) in codes of 255."""
    return luma(picture[None])[0, 0].mul(255).round().byte().numpy()


def small_luma(picture: Picture) -> Luma:
    """As shots are found by."""
    small = torch.nn.functional.interpolate(luma(picture[0][None]), SIZE, mode="area")
    return small[0, 0].mul(255).round().byte().numpy()


def _ignore(warning: str) -> None:
    pass
