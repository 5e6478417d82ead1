"""Estimates the work of a library before it is done: frames, hours, disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dossr_video.errors import DossrError, Interrupted, SettingsError, SourceError
from dossr_video.jobs.child import Child, Here
from dossr_video.jobs.estimate import Speed, measure, sample_segment
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Item, OnProgress, Progress, no_progress
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library, Place, last_of
from dossr_video.names import shown
from dossr_video.settings import Settings
from dossr_video.video.info import Choice
from dossr_video.video.inspect.content import quick_fields
from dossr_video.video.inspect.fields import quick_spans
from dossr_video.video.inspect.processing import analyse, output_size
from dossr_video.video.read.probe import probe
from dossr_video.video.read.reader import ReadSpec, expected_frames, open_reader


@dataclass(frozen=True)
class Estimate:
    """The work of the files of a batch that are not done yet. Duplicate frames are not known yet and count fully."""

    files: int
    frames: int
    hours: float
    result_bytes: int
    temporary_bytes: int  # beside the results, while the largest file is joined
    measured_on: Path | None  # the speed; None: there is nothing to do
    unknown: tuple[Place, ...]  # files that do not declare their length; they are not counted
    refused: tuple[tuple[Place, str], ...]  # files that would fail, and why


@dataclass(frozen=True)
class _Piece:
    """A file and its share of the work."""

    path: Path
    target: Path
    frames: int
    pixels: int  # of an input frame
    result_pixels: int


def estimate(
    batch: Batch,
    *,
    executor: Executor | None = None,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = lambda: False,
) -> Estimate:
    """Probe every file that `batch` would do, and measure the speed on the one of median size.

    Other files are in proportion to their pixels. Raises SettingsError for sources in a bucket, ModelError when the
    model cannot be loaded, Interrupted once `cancelled` says so.
    """
    if isinstance(batch.library.sources, str):
        raise SettingsError(
            "--dry-run looks into every file, and those of a bucket would be fetched for that",
            hint="copy a few of them into a folder, and estimate there",
        )
    process_of = Here if executor else Child
    executor = executor or LocalExecutor(worker_spec(batch.settings))
    process = process_of(partial(_Looker, batch.library, batch.settings, executor.info.scale))
    try:
        pieces, unknown, refused = _looked_at(batch, process, on_progress, cancelled)
    finally:
        process.close()
    if not pieces:
        return Estimate(0, 0, 0.0, 0, 0, None, tuple(unknown), tuple(refused))
    speed: Speed | None = None
    pieces.sort(key=lambda piece: piece.pixels)
    while speed is None and pieces:
        middle = pieces[len(pieces) // 2]
        try:
            speed = _measure(middle, batch.settings, executor, on_progress, cancelled)
        except SourceError as error:  # found only now
            refused.append((middle.path, error.message))
            pieces.remove(middle)
    costs = [
        speed.cost(
            piece.frames,
            computed=piece.frames,
            pixels=piece.pixels,
            result_pixels=piece.result_pixels,
            workers=executor.workers,
        )
        for piece in pieces
        if speed is not None
    ]
    return Estimate(
        files=len(pieces),
        frames=sum(piece.frames for piece in pieces),
        hours=sum(cost.seconds for cost in costs) / 3600,
        result_bytes=sum(cost.size for cost in costs),
        temporary_bytes=max((cost.disk - cost.size for cost in costs), default=0),
        measured_on=middle.path if pieces else None,
        unknown=tuple(unknown),
        refused=tuple(refused),
    )


def _looked_at(
    batch: Batch, process: Here | Child, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> tuple[list[_Piece], list[Place], list[tuple[Place, str]]]:
    """The files that would be done; those that do not declare their length; those that would fail, and why."""
    pieces: list[_Piece] = []
    unknown: list[Place] = []
    refused: list[tuple[Place, str]] = []
    for number, source in enumerate(batch.to_do(), start=1):
        if cancelled():
            raise Interrupted(f"stopped after {number - 1} files were probed", hint="nothing is left behind")
        on_progress(Progress("probing", number - 1, unit="files", item=Item(shown(last_of(source)), number)))
        try:
            piece = process.call("look", source)
        except DossrError as error:
            refused.append((source, error.message))
            continue
        if piece is None:
            unknown.append(source)
        else:
            pieces.append(piece)
    return pieces, unknown, refused


@dataclass(frozen=True)
class _Looker:
    """Looks at files, in a process of its own: one that crashes the libraries is a file that would fail."""

    library: Library
    settings: Settings
    model_scale: int

    def look(self, source: Path, **hooks: Any) -> _Piece | None:
        return _piece(source, Path(self.library.target_of(source)), self.settings, self.model_scale)


def _piece(source: Path, target: Path, settings: Settings, model_scale: int) -> _Piece | None:
    """None when the file does not declare how long it is."""
    info = probe(source, max_pixels=settings.max_pixels, choice=Choice.of(settings))
    fields = quick_spans(info.video, quick_fields(info, max_pixels=settings.max_pixels), settings)
    read = ReadSpec(settings.reader, fields, settings.start, settings.length, settings.max_pixels)
    open_reader(info, read).close()  # refused, if so
    frames = expected_frames(info, read)
    if frames is None:
        return None
    width, height = output_size(info.video, settings, target, model_scale)
    return _Piece(source, target, frames, info.video.width * info.video.height, width * height)


def _measure(
    piece: _Piece, settings: Settings, executor: Executor, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> Speed:
    """Raises SourceError where the file holds no frames, Interrupted once `cancelled` says so."""
    item = Item(shown(piece.path.name), 1, 1)
    on_progress(Progress("measuring", item=item))

    def show(frames: int) -> None:
        if cancelled():
            raise _stopped()
        on_progress(Progress("measuring, probing", frames, item=item))

    info = probe(piece.path, max_pixels=settings.max_pixels, choice=Choice.of(settings))
    processing = analyse(info, settings, target=piece.target, model_scale=executor.info.scale, on_frame=show)
    spec = resolve(settings, info, processing, piece.target, worker=executor.info, workers=executor.workers)
    speed = measure(sample_segment(info, spec), info, spec, executor, cancelled=cancelled)
    if speed is None:
        raise _stopped()
    return speed


def _stopped() -> Interrupted:
    return Interrupted("stopped while the speed was measured", hint="nothing is left behind")
