"""Estimates the work of a library before it is done: frames, hours, disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from dossr_video.errors import DossrError, Interrupted
from dossr_video.jobs.child import Child, Here
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Item, OnProgress, Progress, no_progress
from dossr_video.jobs.resolve import worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.jobs.scratch import Scratch
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library
from dossr_video.names import shown
from dossr_video.settings import Settings
from dossr_video.video.inspect.fields import quick_spans
from dossr_video.video.inspect.processing import output_size
from dossr_video.video.read.deinterlace import clock_of
from dossr_video.video.read.probe import probe
from dossr_video.video.read.reader import ReadSpec, open_reader

WARM_UP, TIMED = 8, 24  # frames


@dataclass(frozen=True)
class Speed:
    """The speed measured on a piece of one file; other files are in proportion to their pixels."""

    measured_on: Path
    seconds_per_pixel: float  # of an input frame, on one worker
    bytes_per_pixel: float  # of an output frame


@dataclass(frozen=True)
class Estimate:
    """The work of the files of a batch that are not done yet. Duplicate frames are not known yet and count fully."""

    files: int
    frames: int
    hours: float
    result_bytes: int
    temporary_bytes: int  # beside the results, while the largest file is joined
    speed: Speed | None  # None: there is nothing to do
    unknown: tuple[Path, ...]  # files that do not declare their length; they are not counted
    refused: tuple[tuple[Path, str], ...]  # files that would fail, and why


@dataclass(frozen=True)
class _Piece:
    """A file and its share of the work."""

    path: Path
    frames: int
    period: float  # seconds
    pixels: int  # of an input frame
    result_pixels: int


def estimate(
    batch: Batch,
    *,
    executor: Executor | None = None,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = lambda: False,
) -> Estimate:
    """Probe every file that `batch` would do, and measure the speed on a piece of the one of median size.

    Nothing is written beside the temporary piece. Raises ModelError when the model cannot be loaded, Interrupted once
    `cancelled` says so.
    """
    pieces: list[_Piece] = []
    unknown: list[Path] = []
    refused: list[tuple[Path, str]] = []
    make = partial(_Looker, batch.library, batch.settings)
    process = Here(make) if executor else Child(make)
    try:
        for number, source in enumerate(batch.to_do(), start=1):
            if cancelled():
                raise Interrupted(f"stopped after {number - 1} files were probed", hint="nothing is left behind")
            on_progress(Progress("probing", number - 1, unit="files", item=Item(shown(source.name), number)))
            try:
                piece = process.call("look", source)
            except DossrError as error:
                refused.append((source, error.message))
                continue
            if piece is None:
                unknown.append(source)
            else:
                pieces.append(piece)
    finally:
        process.close()
    if not pieces:
        return Estimate(0, 0, 0.0, 0, 0, None, tuple(unknown), tuple(refused))
    executor = executor or LocalExecutor(worker_spec(batch.settings))
    middle = sorted(pieces, key=lambda piece: piece.pixels)[len(pieces) // 2]
    speed = _measure(middle, batch.settings, executor, on_progress, cancelled)
    seconds = sum(piece.frames * piece.pixels for piece in pieces) * speed.seconds_per_pixel / executor.workers
    sizes = [round(piece.frames * piece.result_pixels * speed.bytes_per_pixel) for piece in pieces]
    return Estimate(
        files=len(pieces),
        frames=sum(piece.frames for piece in pieces),
        hours=seconds / 3600,
        result_bytes=sum(sizes),
        temporary_bytes=max(sizes),
        speed=speed,
        unknown=tuple(unknown),
        refused=tuple(refused),
    )


@dataclass(frozen=True)
class _Looker:
    """Looks at files, in a process of its own: one that crashes the libraries is a file that would fail."""

    library: Library
    settings: Settings

    def look(self, source: Path, **hooks: Any) -> _Piece | None:
        return _piece(source, self.library.target_of(source), self.settings)


def _piece(source: Path, target: Path, settings: Settings) -> _Piece | None:
    """None when the file does not declare how long it is."""
    info = probe(source, max_pixels=settings.max_pixels)
    video = info.video
    seconds = video.duration or info.duration
    if seconds is None and video.frames is not None:
        seconds = video.frames / video.frame_rate
    fields = quick_spans(info, settings)
    open_reader(info, ReadSpec(settings.reader, fields, max_pixels=settings.max_pixels)).close()  # refused, if so
    if seconds is None:
        return None
    left = max(Fraction(0), seconds - Fraction(settings.start))
    left = left if settings.length is None else min(left, Fraction(settings.length))
    width, height = output_size(video, settings, target)
    _, rate = clock_of(fields, video)  # after deinterlacing or inverse telecine
    return _Piece(source, round(left * rate), float(1 / rate), video.width * video.height, width * height)


def _measure(
    piece: _Piece, settings: Settings, executor: Executor, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> Speed:
    """Upscale a few frames to warm up and some more that are timed, into a temporary folder."""

    item = Item(shown(piece.path.name), 1, 1)

    def show(event: Progress) -> None:
        on_progress(replace(event, stage=f"measuring, {event.stage}", item=item))

    scratch = Scratch()
    try:
        for frames in (WARM_UP, TIMED):
            part = settings.model_copy(update={"duration": frames * piece.period})
            target = scratch.path / "part.mkv"
            report = run_job(
                piece.path, target, part, force=True, executor=executor, on_progress=show, cancelled=cancelled
            )
    finally:
        scratch.remove()
    return Speed(
        piece.path,
        seconds_per_pixel=report.work_seconds / (report.frames * piece.pixels),
        bytes_per_pixel=report.target.size / (report.frames * piece.result_pixels),
    )
