"""What the Python API offers beside `Settings` and the errors: a file, frames in memory, frames that stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from os import PathLike, fsdecode, fspath
from typing import Any

import torch
from torch import Tensor

from dossr_video.arrays import Layout, as_frames, first_kind, together
from dossr_video.errors import FramesError, SettingsError
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.execute.worker import load_model_of
from dossr_video.jobs.progress import OnProgress, Progress, no_progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model
from dossr_video.progress_bar import progress_display
from dossr_video.settings import Settings
from dossr_video.streaming import Recipe, streamed
from dossr_video.temporal.flow import FlowEstimator

__all__ = ["OnProgress", "Progress", "load_model", "upscale", "upscale_frames", "upscale_stream"]

GivenModel = PictureModel | str | PathLike[str] | None  # None: the one that the settings name
LOADING = frozenset({"device", "dtype", "engine", "offload", "prompt", "negative_prompt", "cfg_scale"})
"""Options that a model is loaded with; where it is loaded already, `settings` may still hold those of others."""
FUNCTIONS = {
    "on_progress": "give a function that takes a Progress",
    "cancelled": "give a function without arguments, such as threading.Event().is_set",
    "executor": "give a LocalExecutor or RayExecutor",
    "flow": "give a function that takes two batches of frames and gives the flow between them",
}
Picture = tuple[Tensor, Tensor | None]  # RGB (3, H, W) in [0, 1], and opacity (1, H, W)


def upscale(
    source: str | PathLike[str],
    target: str | PathLike[str],
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    model: GivenModel = None,
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
    _require_function("on_progress", on_progress)
    _require_function("cancelled", cancelled)
    if executor is not None:
        _require_function("executor", getattr(executor, "run", executor))
    wanted, loaded = _settings(settings, options, model)
    if loaded is not None:
        if executor is not None:
            raise SettingsError("model= is a loaded model, and executor= has its own", hint="leave one of them away")
        executor = LocalExecutor(worker_spec(wanted), model=loaded)
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
    model: GivenModel = None,
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
    model: GivenModel = None,
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
    if flow is not None:
        _require_function("flow", flow)
    wanted, loaded = settings_and_model(settings, options, model)
    recipe = Recipe.of(wanted, loaded, None if flow is None else _checked(flow))
    if not isinstance(frames, Iterable):
        raise FramesError(
            f"frames of type {type(frames).__name__} must be an iterable", hint="give a list or generator"
        )
    kind, all_frames = first_kind(iter(frames), layout)
    return iter(()) if kind is None else streamed(kind, all_frames, recipe)


def settings_and_model(
    settings: Settings | Mapping[str, Any] | None, options: Mapping[str, Any], model: GivenModel
) -> tuple[Settings, PictureModel]:
    """What is asked for, and the model. Raises SettingsError, and as `load_model`."""
    wanted, given = _settings(settings, options, model)
    return wanted, given or model_of(wanted)


def _settings(
    settings: Settings | Mapping[str, Any] | None, options: Mapping[str, Any], model: GivenModel
) -> tuple[Settings, PictureModel | None]:
    """What is asked for, and the model where it is loaded already. Raises SettingsError."""
    if isinstance(model, PathLike):
        model = fspath(model)
    given = settings.model_dump(exclude_unset=True) if isinstance(settings, Settings) else settings or {}
    if model is not None and not isinstance(model, str) and (ignored := LOADING & options.keys()):
        raise SettingsError(
            f"{' and '.join(f'{name}=' for name in sorted(ignored))} with a model that is loaded already",
            hint="give them to load_model, or name the model: model='compact'",
        )
    if model is not None:
        options = {**options, "model": model if isinstance(model, str) else getattr(model, "name", model)}
    wanted = Settings.of({**Settings.of(given).model_dump(exclude_unset=True), **options})
    return wanted, None if model is None or isinstance(model, str) else model


def _require_function(name: str, given: object) -> None:
    if not callable(given):
        raise SettingsError(f"{name}= is of type {type(given).__name__}, which cannot be called", hint=FUNCTIONS[name])


def _checked(flow: FlowEstimator) -> FlowEstimator:
    """The same, which raises FramesError where it gives no flow."""

    def checked(source: Tensor, target: Tensor) -> Tensor:
        found: Any = flow(source, target)
        wanted = (len(source), 2, *source.shape[-2:])
        if not isinstance(found, Tensor) or found.shape != wanted:
            kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise FramesError(f"flow= gives {kind}: it must be a tensor {wanted}", hint="in pixels, x before y")
        if not found.sum(dtype=torch.float32).isfinite():
            raise FramesError("flow= gives numbers that are not finite", hint="give 0 where nothing is known")
        return found

    return checked


def _path(name: str | PathLike[str]) -> str:
    try:
        return fsdecode(name)
    except TypeError as error:
        raise SettingsError(f"{name!r} is no path and no URL", hint="give a string or a Path") from error


def model_of(settings: Settings) -> PictureModel:
    """The model that the settings name. Raises as `load_model`."""
    return load_model_of(worker_spec(settings), device=settings.device)
