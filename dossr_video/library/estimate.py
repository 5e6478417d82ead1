"""What a library will cost, told before the work: frames, hours, disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import DossrError, Interrupted
from dossr_video.jobs.execute.local import Executor, LocalExecutor
from dossr_video.jobs.names import shown
from dossr_video.jobs.progress import OnProgress
from dossr_video.jobs.run import run_job
from dossr_video.jobs.scratch import Scratch
from dossr_video.library.batch import Batch
from dossr_video.settings import Settings
from dossr_video.video.inspect.fields import quick_spans
from dossr_video.video.inspect.processing import open_reader, output_size
from dossr_video.video.read.probe import probe

WARM_UP, TIMED = 8, 24  # frames


@dataclass(frozen=True)
class Speed:
    """What this machine did on a piece of one file; everything else is in proportion to the pixels."""

    measured_on: Path
    seconds_per_pixel: float  # of an input frame, on one worker
    bytes_per_pixel: float  # of an output frame


@dataclass(frozen=True)
class Quote:
    """The cost of the files of a batch that are not done yet. Repeats are not known before the work and count fully."""

    files: int
    frames: int
    hours: float
    result_bytes: int
    temporary_bytes: int  # beside the results, while the largest file is joined
    speed: Speed | None  # None: there is nothing to do
    unknown: tuple[Path, ...]  # files that do not tell their length; they are not counted
    refused: tuple[tuple[Path, str], ...]  # files that would fail, and why


@dataclass(frozen=True)
class _Piece:
    """A file that is known well enough to tell what it costs."""

    path: Path
    frames: int
    period: float  # seconds
    pixels: int  # of an input frame
    result_pixels: int


def quote(
    batch: Batch,
    *,
    executor: Executor | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Quote:
    """Look into every file that `batch` would do, and time a piece of the one of middle size on this machine.

    Nothing is written beside the temporary piece. Raises ModelError when the model cannot be loaded, Interrupted once
    `cancelled` says so.
    """
    pieces: list[_Piece] = []
    unknown: list[Path] = []
    refused: list[tuple[Path, str]] = []
    for number, source in enumerate(batch.to_do(), start=1):
        if cancelled():
            raise Interrupted(f"stopped after {number - 1} files were looked at", hint="nothing is left behind")
        on_progress(f"looking at file {number}, {shown(source.name)}", 0, 0)
        try:
            piece = _look(source, batch.library.target_of(source), batch.settings)
        except DossrError as error:
            refused.append((source, error.message))
            continue
        if piece is None:
            unknown.append(source)
        else:
            pieces.append(piece)
    if not pieces:
        return Quote(0, 0, 0.0, 0, 0, None, tuple(unknown), tuple(refused))
    executor = executor or LocalExecutor(batch.settings)
    middle = sorted(pieces, key=lambda piece: piece.pixels)[len(pieces) // 2]
    speed = _measure(middle, batch.settings, executor, on_progress, cancelled)
    seconds = sum(piece.frames * piece.pixels for piece in pieces) * speed.seconds_per_pixel / executor.workers
    sizes = [round(piece.frames * piece.result_pixels * speed.bytes_per_pixel) for piece in pieces]
    return Quote(
        files=len(pieces),
        frames=sum(piece.frames for piece in pieces),
        hours=seconds / 3600,
        result_bytes=sum(sizes),
        temporary_bytes=max(sizes),
        speed=speed,
        unknown=tuple(unknown),
        refused=tuple(refused),
    )


def _look(source: Path, target: Path, settings: Settings) -> _Piece | None:
    """None when the file does not tell how long it is."""
    info = probe(source, max_pixels=settings.max_pixels)
    with open_reader(source, settings, fields=quick_spans(info, settings)) as reader:
        video = reader.info.video
        seconds = video.duration or reader.info.duration
        if seconds is None and video.frames is not None:
            seconds = video.frames / video.frame_rate
        if seconds is None:
            return None
        left = max(Fraction(0), seconds - Fraction(settings.start))
        left = left if settings.duration is None else min(left, Fraction(settings.duration))
        width, height = output_size(video, settings, target)
        # The reader's rate, not the file's: fields become frames, pulldown goes away.
        frames, period = round(left * reader.frame_rate), float(1 / reader.frame_rate)
        return _Piece(source, frames, period, video.width * video.height, width * height)


def _measure(
    piece: _Piece, settings: Settings, executor: Executor, on_progress: OnProgress, cancelled: Callable[[], bool]
) -> Speed:
    """Do a few frames to warm up and some more that count, into a folder that goes away."""

    def show(stage: str, done: int, total: int) -> None:
        on_progress(f"measuring on {shown(piece.path.name)}, {stage}", done, total)

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
        bytes_per_pixel=report.size / (report.frames * piece.result_pixels),
    )
