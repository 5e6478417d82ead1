"""One shot: chunks of frames and their motion in, enlarged frames out, state passed along.

    restore -> [ encode -> sample (N network calls, guided along the motion) -> decode -> colour fix ] -> blend

What stands in brackets is done by models with latents alone. Everything here is a function of its arguments, so a chunk
that failed for want of memory is simply done again smaller.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.color import color_fix, keep_grey, match_mean
from dossr_video.errors import ModelError
from dossr_video.frames import Area, Chunk, Motion
from dossr_video.models.base import DomainShiftModel, PictureModel
from dossr_video.pipeline.latents import ShotState, sampled, start_of
from dossr_video.runspec import SamplingSpec, TemporalSpec
from dossr_video.temporal.blend import blend_pictures
from dossr_video.transfer import to_device


def needs_motion(model: PictureModel, temporal: TemporalSpec) -> bool:
    """Whether anything that is done with the frames looks at the motion between them."""
    blended = model.blended and temporal.blend != "off"
    warped = isinstance(model, DomainShiftModel) and temporal.noise == "warped"
    warm = temporal.warm_start is not None
    return temporal.deflicker or model.recurrent or blended or warped or warm


@torch.inference_mode()
def enlarge_chunk(
    model: PictureModel,
    chunk: Chunk,
    motion: Motion,
    state: ShotState,
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    *,
    shot: int,
    strength: float = 1.0,
) -> tuple[Tensor, ShotState]:
    """What the networks make of a chunk: pictures (T, 3, s H', s W') float32 in [0, 1] on the model's device.

    s is the model's scale, H' and W' are the sides of the frames, padded; `steady_chunk` is what comes next. The second
    result is the state after them.

    `strength` in [0, 1] goes from what the model starts from to what it invents: from the restorer's output to the
    denoised one, or from plain enlargement to the output of a model without latents.

    The result depends on the frames before through `state` alone, not on how they were cut into chunks. Raises
    ModelError where a network gives numbers that are not finite.
    """
    frames, motion = pad(to_device(chunk.frames, model.device), model.multiple), _padded(motion, model)
    restored = model.restore(frames, motion, state.hidden)
    _require_finite(restored.pictures, model)
    # In place where they are no part of what is remembered: a copy of large pictures takes as long as enlarging them.
    kept = {part.untyped_storage().data_ptr() for part in restored.hidden or ()}
    own = restored.pictures.untyped_storage().data_ptr() not in kept
    pictures = restored.pictures.clamp_(0, 1) if own else restored.pictures.clamp(0, 1)
    state = replace(state, hidden=restored.hidden)
    plain = pictures if strength < 1 else None
    if isinstance(model, DomainShiftModel) and strength > 0:
        assert sampling is not None, "resolved for a model without latents"
        restored = replace(restored, pictures=pictures)
        start = start_of(model, restored, motion, chunk.indices, state, sampling, temporal, shot)
        colors = None if sampling.color_fix == "none" else pictures
        del restored, pictures  # pictures that nothing needs are let go of: they are what fills the memory
        latents, state = sampled(model, start, motion, state, sampling, temporal)
        del start
        pictures = model.decode(latents)
        _require_finite(pictures, model)
        del latents
        if colors is not None:
            pictures = color_fix(pictures, colors, sampling.color_fix)
        pictures.clamp_(0, 1)
    elif plain is not None and model.blended and not isinstance(model, DomainShiftModel):
        plain = resize(frames, *pictures.shape[-2:])
    if plain is not None:
        pictures = plain.lerp(pictures, strength)
    return pictures, state


@torch.inference_mode()
def steady_chunk(
    model: PictureModel,
    pictures: Tensor,
    chunk: Chunk,
    motion: Motion,
    state: ShotState,
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
) -> tuple[Tensor, ShotState]:
    """Pictures (T, 3, s H, s W) in [0, 1] of those that `enlarge_chunk` made, which are written to; the state after.

    Done by itself, so that what the networks remembered of the frame before is let go of first: it fills the memory.
    """
    height, width = chunk.frames.shape[-2:]
    if model.blended and temporal.blend == "pixel":
        # Of what is seen: a lossy codec is passed once, and its landing noise is blended too.
        motion = _padded(motion, model)
        source = pad(to_device(chunk.frames, model.device), model.multiple)
        pictures = blend_pictures(pictures, state.blend.picture, motion, source, strength=temporal.blend_strength)
        picture = pictures[-1:].clone()  # not a view that keeps the whole chunk
        pictures, state = pictures.clamp_(0, 1), replace(state, blend=replace(state.blend, picture=picture))
    pictures = pictures[..., : height * model.scale, : width * model.scale]
    if sampling is not None and sampling.color_fix != "none":
        pictures = match_mean(pictures, to_device(chunk.frames, model.device))
    return keep_grey(pictures, chunk.frames), state


def _require_finite(pictures: Tensor, model: PictureModel) -> None:
    """ModelError where one of the numbers is not: it would be a black pixel, and stay one for the rest of the shot."""
    # One pass and no copy: a sum with NaN or infinity in it is never finite.
    if pictures.sum(dtype=torch.float32).isfinite():
        return
    kind = str(model.dtype).removeprefix("torch.")
    raise ModelError(
        f"{model.name} gives numbers that are not finite, computing in {kind}",
        hint="float16 overflows where numbers are large: use --dtype float32 or --dtype bfloat16"
        if model.dtype == torch.float16
        else "fetch the file with the weights again, or use another model",
    )


def _padded(motion: Motion, model: PictureModel) -> Motion:
    """On the model's device, at the size of the padded frames."""
    return Motion(*(pad(part.to(model.device), model.multiple) for part in (motion.flow, motion.confidence)))


def pad(images: Tensor, multiple: int) -> Tensor:
    """(..., H, W) grown at the bottom and the right to a multiple, by reflection, or repetition of a short side."""
    height, width = images.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not (below or right):
        return images
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)


def resize(pictures: Tensor, height: int, width: int) -> Tensor:
    """(T, 3, H, W) in [0, 1] at another size; smaller by a cubic filter that does not alias."""
    if pictures.shape[-2:] == (height, width):
        return pictures
    shape = (height, width)
    return F.interpolate(pictures, shape, mode="bicubic", align_corners=False, antialias=True).clamp_(0, 1)


def letterboxed(restored: Tensor, pictures: Tensor, area: Area, size: tuple[int, int]) -> Tensor:
    """Frames (T, 3, H, W) at the size (height, width): inside `area` what was restored of it, around it enlarged only.

    Each strip around is enlarged by itself, so that black borders stay exactly black beside a bright picture.
    """
    height, width = pictures.shape[-2:]
    down, across = size[0] / height, size[1] / width
    result = pictures.new_empty(*pictures.shape[:2], *size)
    strips = (
        Area(0, 0, width, area.top),
        Area(0, area.bottom, width, height),
        Area(0, area.top, area.left, area.bottom),
        Area(area.right, area.top, width, area.bottom),
    )
    for part, content in ((area, restored), *((strip, strip.of(pictures)) for strip in strips)):
        place = part.scaled(across, down)
        if place.width and place.height:
            place.of(result)[:] = resize(content, place.height, place.width)
    return result
