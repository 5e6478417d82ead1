"""A VapourSynth filter: `dossr_video.vapoursynth.upscale(clip)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dossr_video.api import settings_and_model
from dossr_video.errors import FramesError
from dossr_video.models.base import PictureModel
from dossr_video.random_access import RandomAccess
from dossr_video.settings import Settings
from dossr_video.streaming import Recipe

HINT = (
    'convert it first, for example clip.resize.Bicubic(format=vs.RGBS, matrix_in_s="709"), and back afterwards: '
    'clip.resize.Bicubic(format=vs.YUV420P10, matrix_s="709")'
)


def upscale(
    clip: Any,
    *,
    model: PictureModel | str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Restore and enlarge a clip; frame for frame what `dossr_video.upscale_stream` gives.

    Frames may be asked for in any order. One after another each is done once; after a jump the shot is done from its
    start, and 32 results are kept. Cuts are found in the frames.

    Args:
        clip: A vapoursynth.VideoNode of constant format and size: RGB of 8 or 16 bits (RGB24, RGB48) or of floats
            (RGBH, RGBS).
        model: From `dossr_video.load_model`, or the option `model`; None: the one that the settings name.
        settings: Options as Settings or as a mapping; None: their defaults. Those of files have no effect.
        **options: Single options, such as `scale=2`; they win over `settings`.

    Returns:
        A VideoNode of the same format, length and frame rate; frame properties are those of `clip`.

    Raises:
        errors.FramesError: The clip is of another format.
        errors.DossrError: An option or the model does not fit.
    """
    _require_rgb(clip)
    wanted, loaded = settings_and_model(settings, options, model)
    frames = RandomAccess(
        lambda number: planes_of(clip.get_frame(number)), len(clip), Recipe.of(wanted, loaded), layout="CHW"
    )
    height, width = frames.size
    blank = clip.std.BlankClip(width=width, height=height, keep=True)

    def made(n: int, f: Sequence[Any]) -> Any:
        result = f[0].copy()
        write_planes(result, frames[n])
        for name, value in f[1].props.items():
            result.props[name] = value
        return result

    return blank.std.ModifyFrame([blank, clip], made)


def planes_of(frame: Any) -> NDArray[Any]:
    """A frame with planes R, G, B as (3, H, W); floats are cut to [0, 1], beyond which conversions from YUV go."""
    planes = np.stack([np.asarray(frame[number]) for number in range(3)])
    return planes.clip(0, 1) if planes.dtype.kind == "f" else planes


def write_planes(frame: Any, picture: NDArray[Any]) -> None:
    """Write (3, H, W) into the planes of a frame of that size."""
    for number, plane in enumerate(picture):
        np.copyto(np.asarray(frame[number]), plane)


def _require_rgb(clip: Any) -> None:
    kind = clip.format
    if kind is None or not clip.width or not clip.height:
        raise FramesError("a clip whose format or size changes cannot be upscaled", hint=HINT)
    if kind.color_family.name != "RGB" or (kind.sample_type.name == "INTEGER" and kind.bits_per_sample not in (8, 16)):
        raise FramesError(
            f"a clip of {kind.name} must be RGB of 8 or 16 bits or of floats (RGB24, RGB48, RGBH, RGBS)", hint=HINT
        )
