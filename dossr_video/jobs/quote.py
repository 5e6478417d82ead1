"""What a library will cost, told before the work: frames, hours, disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from dossr_video.errors import DossrError
from dossr_video.jobs.batch import Batch
from dossr_video.jobs.local import Executor, LocalExecutor
from dossr_video.jobs.run import run_job
from dossr_video.pipeline import target_size
from dossr_video.settings import Settings
from dossr_video.video.probe import SourceInfo, probe

CHUNKS = 3  # of frames that are timed, after one to warm up


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


def quote(batch: Batch, *, executor: Executor | None = None) -> Quote:
    """Look into every file that `batch` would do, and time a piece of the one of middle size on this machine.

    Nothing is written beside the temporary piece. Raises ModelError when the model cannot be loaded.
    """
    infos: list[SourceInfo] = []
    refused: list[tuple[Path, str]] = []
    for source in batch.to_do():
        try:
            infos.append(probe(source, max_pixels=batch.settings.max_pixels))
        except DossrError as error:
            refused.append((source, error.message))
    known = [(info, frames) for info in infos if (frames := _frames(info, batch.settings)) is not None]
    unknown = tuple(info.path for info in infos if _frames(info, batch.settings) is None)
    if not known:
        return Quote(0, 0, 0.0, 0, 0, None, unknown, tuple(refused))
    executor = executor or LocalExecutor(batch.settings)
    middle = sorted(known, key=lambda item: _pixels(item[0]))[len(known) // 2][0]
    speed = _measure(middle, batch.settings, executor)
    seconds = sum(frames * _pixels(info) for info, frames in known) * speed.seconds_per_pixel / executor.workers
    sizes = [round(frames * _result_pixels(info, batch.settings) * speed.bytes_per_pixel) for info, frames in known]
    return Quote(
        files=len(known),
        frames=sum(frames for _, frames in known),
        hours=seconds / 3600,
        result_bytes=sum(sizes),
        temporary_bytes=max(sizes),
        speed=speed,
        unknown=unknown,
        refused=tuple(refused),
    )


def _measure(info: SourceInfo, settings: Settings, executor: Executor) -> Speed:
    """Do a chunk to warm up and CHUNKS more that count, into a folder that goes away."""
    period = float(1 / info.video.frame_rate)
    with tempfile.TemporaryDirectory(prefix="dossr-video-") as folder:
        for chunks in (1, CHUNKS):
            piece = settings.model_copy(update={"duration": chunks * settings.chunk * period})
            report = run_job(info.path, Path(folder) / "piece.mkv", piece, force=True, executor=executor)
    pixels = report.frames * _pixels(info)
    return Speed(
        info.path,
        seconds_per_pixel=report.work_seconds / pixels,
        bytes_per_pixel=report.size / (report.frames * _result_pixels(info, settings)),
    )


def _frames(info: SourceInfo, settings: Settings) -> int | None:
    """Frames that will be done; None when the file does not tell."""
    video = info.video
    duration = video.duration or info.duration
    frames = video.frames or (round(duration * video.frame_rate) if duration is not None else None)
    if frames is None:
        return None
    left = max(0, frames - round(settings.start * video.frame_rate))
    return left if settings.duration is None else min(left, round(settings.duration * video.frame_rate))


def _pixels(info: SourceInfo) -> int:
    return info.video.width * info.video.height


def _result_pixels(info: SourceInfo, settings: Settings) -> int:
    height, width = target_size(info.video.width, info.video.height, settings)
    return height * width
