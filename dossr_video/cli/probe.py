"""The command `dossr-video probe`: what a file is, what a run would do with it, and what that would take."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from dossr_video.cli.console import duration_text, progress_display, put
from dossr_video.cli.options import PATH, GroupedCommand, debug_option, with_settings
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.settings import Settings

if TYPE_CHECKING:
    from dossr_video.jobs.estimate import Cost
    from dossr_video.jobs.execute.local import LocalExecutor
    from dossr_video.runspec import RunSpec
    from dossr_video.video.info import SourceInfo
    from dossr_video.video.inspect.processing import ProcessingPlan
    from dossr_video.video.inspect.suggestion import Suggestion
    from dossr_video.video.read.reader import ReadSpec


@click.command(cls=GroupedCommand)
@click.argument("source", type=PATH)
@click.argument("target", required=False)  # a path or URL
@with_settings
@click.option("--shots", "count", is_flag=True, help="decode the whole file, to count frames and shots")
@click.option("--json", "as_json", is_flag=True, help="print JSON, with TARGET every setting too")
@debug_option
def probe(source: Path, target: str | None, *, settings: Settings, count: bool, as_json: bool) -> None:
    """Explain what SOURCE is, what a run with these options would do and why, and which preset suits it.

    With TARGET also what it could not keep, about how long the run would take and how large the result would be: the
    model is loaded and its speed measured. With --json also every setting that is decided.
    """
    from dossr_video.jobs.source import source_of
    from dossr_video.jobs.urls import local
    from dossr_video.models.known import require_known
    from dossr_video.video.inspect.content import sample_content
    from dossr_video.video.inspect.processing import analyse
    from dossr_video.video.inspect.suggestion import suggest
    from dossr_video.video.read.reader import expected_frames
    from dossr_video.video.write.spec import check_target

    require_known(settings.model)
    here = None if target is None else local(target)
    if here is not None:  # as the run itself, but that it asks for --force
        check_target(here, settings, inputs=[source, *map(Path, settings.track_files)], force=True)
    info = source_of(source, settings)
    there = here or (None if target is None else Path(target))
    executor = None if there is None else _executor(settings)
    with progress_display(quiet=as_json) as show:
        processing = analyse(
            info,
            settings,
            target=there,
            model_scale=4 if executor is None else executor.info.scale,
            on_frame=lambda frames: show(Progress("probing", frames)),
        )
        frames, shots = (
            _counted(info, processing.read, show) if count else (expected_frames(info, processing.read), None)
        )
        spec, cost = None, None
        if there is not None and executor is not None:
            spec, cost = _planned(settings, info, processing, there, executor, frames, show)
    found = suggest(info, sample_content(info, max_pixels=settings.max_pixels), processing.fields)
    if as_json:
        data = {
            "source": asdict(info),
            "processing": asdict(processing),
            "settings": None if spec is None else spec.as_json(),
            "frames": frames,
            "shots": shots,
            "estimate": None if cost is None else {**asdict(cost), "disk": cost.disk},
            "preset": None if found is None else found._asdict(),
        }
        click.echo(json.dumps(data, indent=2, default=str))
        return
    _print(info, processing, frames=frames, shots=shots, found=found)
    if spec is not None:
        put(f"result: {spec.describe()}")
        put(spec.describe_model())
        put(_told(cost))


def _print(
    info: SourceInfo, processing: ProcessingPlan, *, frames: int | None, shots: int | None, found: Suggestion | None
) -> None:
    from dossr_video.jobs.resources import readable
    from dossr_video.video.read.probe import container_name

    length = "length not declared" if info.duration is None else duration_text(float(info.duration))
    streams = len(info.own_streams) + 1
    put(f"{info.path}: {container_name(info.container)}, {readable(info.size)}, {length}, {streams} streams")
    about = "" if shots is not None else "about "
    counted = "" if frames is None else f"; {about}{frames} frames are written"
    put(f"picture: {info.video.describe()}{counted}{'' if shots is None else f', shots: {shots}'}")
    for line in processing.explain():
        put(line)
    put(f"preset: --preset {found.preset} suits it: {found.why}" if found else "preset: none, the defaults suit it")


def _told(cost: Cost | None) -> str:
    return f"work: {cost.describe()}" if cost else "work: the file declares no length; --shots counts its frames"


def _counted(info: SourceInfo, read: ReadSpec, show: OnProgress) -> tuple[int, int]:
    """Frames and shots, by decoding all of them."""
    from dossr_video.temporal.shots import find_shots
    from dossr_video.video.read.reader import frames_within, open_reader

    frames = 0

    def lumas() -> Any:
        nonlocal frames
        for frame in frames_within(reader, read):
            frames += 1
            show(Progress("counting", frames))
            yield frame.luma_small()

    with open_reader(info, read) as reader:
        shots = len(list(find_shots(lumas())))
    return frames, shots


def _executor(settings: Settings) -> LocalExecutor:
    from dossr_video.jobs.execute.local import LocalExecutor
    from dossr_video.jobs.resolve import worker_spec

    return LocalExecutor(worker_spec(settings))


def _planned(
    settings: Settings,
    info: SourceInfo,
    processing: ProcessingPlan,
    target: Path,
    executor: LocalExecutor,
    frames: int | None,
    show: OnProgress,
) -> tuple[RunSpec, Cost | None]:
    """What a run would do, and what it would take."""
    from dossr_video.jobs.estimate import cost_of, measure, sample_segment
    from dossr_video.jobs.resolve import resolve

    spec = resolve(settings, info, processing, target, worker=executor.info, workers=executor.workers)
    if frames is None:
        return spec, None
    show(Progress("measuring"))
    speed = measure(sample_segment(info, spec), info, spec, executor)
    return spec, None if speed is None else cost_of(speed, info, spec, frames=frames, computed=frames)
