"""What the Python API offers beside `Settings` and the errors: a file, frames in memory, frames that stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain, count, islice
from os import PathLike, fsdecode
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.arrays import FrameKind, Layout, as_frames, first_kind, together
from dossr_video.errors import FramesError, SettingsError
from dossr_video.frames import Chunk
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import OnProgress, Progress, no_progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import resolve_sampling, resolve_temporal, worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.models.base import DomainShiftModel, PictureModel
from dossr_video.models.raft import load_flow
from dossr_video.models.registry import load_model
from dossr_video.pipeline.chunks import Read
from dossr_video.pipeline.memory import MemoryBudget
from dossr_video.pipeline.segment import chunk_length, upscaled, with_motion
from dossr_video.progress_bar import progress_display
from dossr_video.restoration.detail import measure_detail
from dossr_video.restoration.dirt import RUN, measure_dust
from dossr_video.restoration.grain_profile import measure_grain
from dossr_video.restoration.spec import resolve_restoration
from dossr_video.runspec import SamplingSpec
from dossr_video.settings import SIZES, Settings
from dossr_video.temporal.flow import FlowEstimator, luma
from dossr_video.temporal.shots import SIZE, split_shots

__all__ = ["Progress", "load_model", "upscale", "upscale_frames", "upscale_stream"]

Picture = tuple[Tensor, Tensor | None]  # RGB (3, H, W) in [0, 1], and opacity (1, H, W)


def upscale(
    source: str | PathLike[str],
    target: str | PathLike[str],
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    model: PictureModel | str | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = lambda: False,
    force: bool = False,
    restart: bool = False,
    **options: Any,
) -> Report:
    """Restore and enlarge a file, all other streams kept; goes on where an interrupted run stopped.

    Args:
        source: A path or URL.
        target: A path or URL; its extension says which container is written. It gets its name when everything is
            complete, never before.
        settings: Options as Settings or as a mapping; None: their defaults.
        model: The option `model`, or a model from `load_model`, to load it once for several files; None: the one that
            the settings name.
        executor: Where the segments are computed; None: this machine.
        progress: Whether a bar is shown, in a terminal or a notebook (with ipywidgets), or lines elsewhere.
        on_progress: Called with a Progress event for every few frames.
        cancelled: Asked now and then; once it returns True, the running segments are finished or kept, and
            Interrupted is raised.
        force: Whether a target that exists is overwritten.
        restart: Whether to drop what an interrupted run had finished.
        **options: Single options, such as `crf=18`; they win over `settings`.

    Returns:
        What was done and found.

    Raises:
        errors.DossrError: With what came and the rule as `message`, and the remedy as `hint`.
    """
    source, target = _path(source), _path(target)
    wanted, loaded = _settings(settings, options, model)
    if loaded is not None:
        executor = executor or LocalExecutor(worker_spec(wanted), model=loaded)
    with progress_display(quiet=False) if progress else nullcontext(no_progress) as show:

        def tell(event: Progress) -> None:
            show(event)
            on_progress(event)

        return run_job(
            source,
            target,
            wanted,
            force=force,
            restart=restart,
            on_progress=tell,
            cancelled=cancelled,
            executor=executor,
        )


def upscale_frames(
    frames: Any,
    *,
    layout: Layout | None = None,
    model: PictureModel | str | None = None,
    flow: FlowEstimator | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Restore and enlarge consecutive frames in memory; cuts among them are found and respected.

    Args:
        frames: One frame, an array or tensor of frames (T, H, W, C) or (T, C, H, W), or a list or generator of single
            ones. A frame is RGB, RGBA or grey; a numpy array or torch tensor of uint8, uint16 or floats in [0, 1]; or a
            PIL picture.
        layout: "HWC" or "CHW" for shapes that may be read both ways; None: found from the shape.
        model: From `load_model`, or the option `model`; None: the one that the settings name. One that is only named is
            loaded at every call.
        flow: Optical flow of your own, called with two batches of frames (N, 3, H, W); None: the one that the settings
            name.
        settings: Options as Settings or as a mapping; None: their defaults. Those of files have no effect.
        **options: Single options, such as `scale=2`; they win over `settings`.

    Returns:
        The same kind as came: one frame, an array, or a list; same element type, layout and device.

    Raises:
        errors.FramesError: The frames are of no such kind, or of several. It is also a ValueError.
        errors.DossrError: An option or the model does not fit.

    Example:
        >>> import numpy as np
        >>> frames = np.zeros((2, 16, 24, 3), np.uint8)
        >>> upscale_frames(frames, model=load_model("bicubic", device="cpu"), scale=2).shape
        (2, 32, 48, 3)
    """
    single, held = as_frames(frames, layout)
    results = list(upscale_stream(single, layout=layout, model=model, flow=flow, settings=settings, **options))
    return together(results, held, frames)


def upscale_stream(
    frames: Iterable[Any],
    *,
    layout: Layout | None = None,
    model: PictureModel | str | None = None,
    flow: FlowEstimator | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[Any]:
    """`upscale_frames` for frames that stream by: the same results, bit for bit, in bounded memory.

    A chunk of frames and three more are read ahead, at the beginning seven for `dust="auto"`, which measures those;
    `native="auto"` and `grain` measure the first frame alone, as in `upscale_frames`. Arguments and errors are those of
    `upscale_frames`; `frames` are single ones.

    Returns:
        An iterator of the enlarged frames, each of the kind that came.
    """
    wanted, given = _settings(settings, options, model)
    loaded = given or model_of(wanted)
    defaults = loaded.defaults if isinstance(loaded, DomainShiftModel) else None
    sampling = resolve_sampling(wanted, defaults, model=loaded.name)  # what does not fit is refused at once
    if not isinstance(frames, Iterable):
        raise FramesError(
            f"frames of type {type(frames).__name__} must be an iterable", hint="give a list or generator"
        )
    kind, all_frames = first_kind(iter(frames), layout)
    if kind is None:
        return iter(())
    flow = flow or load_flow(wanted.flow, device=loaded.device)
    return _streamed(kind, all_frames, loaded, flow, wanted, sampling)


def _streamed(
    kind: FrameKind,
    frames: Iterator[Any],
    model: PictureModel,
    flow: FlowEstimator,
    settings: Settings,
    sampling: SamplingSpec | None,
) -> Iterator[Any]:
    pictures = _read(kind, frames)
    ahead = list(islice(pictures, RUN if settings.dust == "auto" else 1))
    first = ahead[0]
    height, width = first[0].shape[-2:]
    size = target_size(width, height, settings, model.scale)
    temporal = resolve_temporal(settings, seed=settings.seed)
    restoration = resolve_restoration(
        settings,
        detail=measure_detail([first[0]]),
        grain=measure_grain([first[0]]),
        dust=measure_dust([[_codes(picture) for picture, _ in ahead]]) if settings.dust == "auto" else None,
    )  # the others are not here yet
    length = settings.chunk or chunk_length(width, height, scale=model.scale, device=model.device.type)
    budget = MemoryBudget(model, flow, frames=length, tile=settings.tile)
    indices = count()
    for shot, inside in enumerate(split_shots(chain(ahead, pictures), _small_luma)):
        work = with_motion(_chunks(inside, indices, length), budget, _ignore, temporal, restoration)
        for result in upscaled(work, budget, _ignore, sampling, temporal, restoration, size, shot=shot):
            for i, picture in enumerate(result.pictures):
                yield kind.write(picture, None if result.alpha is None else result.alpha[i])


def _read(kind: FrameKind, frames: Iterator[Any]) -> Iterator[Picture]:
    """The frames on the CPU, where the pipeline takes them from. FramesError when their size changes."""
    size: torch.Size | None = None
    for frame in frames:
        picture, alpha = kind.read(frame)
        size = size or picture.shape
        if picture.shape != size:
            raise FramesError(
                f"a frame of {picture.shape[2]}x{picture.shape[1]} follows one of {size[2]}x{size[1]}",
                hint="give frames of one size",
            )
        yield picture.cpu(), None if alpha is None else alpha.cpu()


def _chunks(pictures: Iterator[Picture], indices: Iterator[int], length: int) -> Iterator[Read]:
    while batch := list(islice(pictures, length)):
        numbers = tuple(islice(indices, len(batch)))
        alphas = [alpha for _, alpha in batch if alpha is not None]
        chunk = Chunk(torch.stack([picture for picture, _ in batch]), numbers, numbers)
        yield chunk, ((),) * len(batch), torch.stack(alphas) if alphas else None, None


def _settings(
    settings: Settings | Mapping[str, Any] | None, options: Mapping[str, Any], model: PictureModel | str | None
) -> tuple[Settings, PictureModel | None]:
    """What is asked for, and the model where it is loaded already. Raises SettingsError."""
    given = settings.model_dump(exclude_unset=True) if isinstance(settings, Settings) else settings or {}
    if model is not None:
        options = {**options, "model": model if isinstance(model, str) else getattr(model, "name", model)}
    wanted = Settings.of({**Settings.of(given).model_dump(exclude_unset=True), **options})
    return wanted, None if model is None or isinstance(model, str) else model


def _path(name: str | PathLike[str]) -> str:
    try:
        return fsdecode(name)
    except TypeError as error:
        raise SettingsError(f"{name!r} is no path and no URL", hint="give a string or a Path") from error


def model_of(settings: Settings) -> PictureModel:
    """The model that the settings name. Raises as `load_model`."""
    return load_model(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        engine=settings.engine,
        prompt=settings.prompt,
        negative_prompt=settings.negative_prompt,
        cfg_scale=settings.cfg_scale,
    )


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


def _small_luma(picture: Picture) -> NDArray[np.uint8]:
    small = torch.nn.functional.interpolate(luma(picture[0][None]), SIZE, mode="area")
    return small[0, 0].mul(255).round().byte().numpy()


def _ignore(warning: str) -> None:
    pass
