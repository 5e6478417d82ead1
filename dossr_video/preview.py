"""A look before the work: a few frames of a file, in one or several ways, and how long the whole file would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dossr_video.api import upscale_frames
from dossr_video.errors import SettingsError, SourceError
from dossr_video.frames import Area
from dossr_video.jobs.estimate import duration
from dossr_video.jobs.execute.local import devices
from dossr_video.jobs.outputs import check_outputs
from dossr_video.jobs.resources import write_errors
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model
from dossr_video.names import shown
from dossr_video.report.excerpts import play
from dossr_video.report.moments import Picture, frame_count
from dossr_video.report.page import Details, render
from dossr_video.report.picture import most_detailed
from dossr_video.report.plots import clock
from dossr_video.report.sheet import write_sheet
from dossr_video.report.stills import Still, encoded, fitting, layers, upright
from dossr_video.settings import Settings
from dossr_video.temporal.shots import Luma, find_shots
from dossr_video.video.info import Choice, SourceInfo
from dossr_video.video.inspect.content import sample_content
from dossr_video.video.inspect.fields import quick_spans
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import ReadSpec, expected_frames

LEAD_IN = 2  # frames that are done before the one that is shown, for what a model and the blending remember
PIXELS = 512 * 288  # of a frame; of larger ones the most detailed part is done
PLAYED_PIXELS = 192 * 108  # the same where seconds are done, of which there are many frames
MOST_SECONDS = 10.0  # of an excerpt
CUTS_WITHIN = 500 * 720 * 576  # pixels of all frames of a file whose cuts are found before moments are chosen
MOST_TRIALS = 12
MOST_MOMENTS = 12


@dataclass(frozen=True)
class Trial:
    """One way to do it."""

    name: str  # `model=compact, blend_strength=0.5`
    settings: Settings


@dataclass(frozen=True)
class Estimate:
    """What a trial would take for the whole file, at the speed of the preview."""

    name: str
    seconds_per_frame: float  # of a whole frame
    hours: float


@dataclass(frozen=True, eq=False)
class _Sample:
    """A moment of the source."""

    seconds: float
    frames: Tensor  # (T, 3, H, W) RGB in [0, 1], of a large frame a part
    first: int  # of the frames that is shown: those before it lead to it
    whole: tuple[int, int]  # height and width of the whole frame
    results: list[list[Picture]] = field(default_factory=list)  # of every trial the frames from `first` on

    @property
    def share(self) -> float:
        """Of the whole frame that is done."""
        height, width = self.frames.shape[-2:]
        return height * width / (self.whole[0] * self.whole[1])


def trials(settings: Settings, choices: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Every combination of the choices, on top of the settings.

    Args:
        settings: What is the same for all.
        choices: Values by the name of a setting.

    Raises:
        SettingsError: A name is no setting, a value does not fit, or there are more than MOST_TRIALS.
    """
    names = [name.replace("-", "_") for name in choices]
    combinations = [dict(zip(names, values, strict=True)) for values in product(*choices.values())]
    if len(combinations) > MOST_TRIALS:
        raise SettingsError(
            f"{len(combinations)} combinations must be at most {MOST_TRIALS}", hint="try fewer values at a time"
        )
    given = settings.model_dump(exclude_unset=True)
    return [
        Trial(", ".join(f"{k}={v}" for k, v in combination.items()) or "result", Settings.of({**given, **combination}))
        for combination in combinations
    ]


def preview(
    source: Path,
    wanted: Sequence[Trial],
    page: Path,
    *,
    at: Sequence[float] = (),
    count: int = 3,
    seconds: float = 0.0,
    force: bool = False,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
) -> list[Estimate]:
    """Do a few frames, or seconds, and write a page, and beside it, with the ending .png, a sheet of details.

    Args:
        source: The file.
        wanted: The ways to do it, from `trials`.
        page: The HTML file.
        at: Seconds from the start of the file; none: `count` moments spread over the shots of a short file, or evenly.
        count: Moments.
        seconds: How much is done at each moment, for films that play side by side; 0: one frame.
        force: Overwrite files that exist.
        on_frames: Called with the frames that are done and those in all.

    Raises:
        SourceError: The file cannot be read, or has no frame there.
        SettingsError: There are more than MOST_MOMENTS moments, or more than MOST_SECONDS, or the page does not end in
            .html.
        TargetError: A file cannot be written, exists, or is the source.
        ModelError: A model cannot be loaded.
    """
    sheet = page.with_suffix(".png")
    check_outputs([("--page", page), ("its sheet", sheet)], inputs=[source], target=None, force=force)
    if not 1 <= (len(at) or count) <= MOST_MOMENTS:
        raise SettingsError(f"{len(at) or count} moments must be 1 to {MOST_MOMENTS}", hint="give --at fewer times")
    if not 0 <= seconds <= MOST_SECONDS:
        raise SettingsError(f"--seconds {seconds:g} must be 0 to {MOST_SECONDS:g}", hint="an excerpt shows enough")
    first = wanted[0].settings
    info = probe(source, max_pixels=first.max_pixels, choice=Choice.of(first))
    counts = sample_content(info, max_pixels=first.max_pixels).fields
    with PyavReader(info, fields=quick_spans(info.video, counts, first)) as reader:
        spec = ReadSpec(fields=reader.fields, start=first.start, duration=first.length)
        frames = expected_frames(info, spec) or frame_count(info)
        samples = list(_samples(reader, at or _spread(reader, count), seconds))
    estimates = []
    for trial, speed in zip(wanted, _upscale(samples, wanted, on_frames), strict=True):
        hours = frames * speed / len(devices(trial.settings.device)) / 3600
        estimates.append(Estimate(trial.name, speed, hours))
    _write(page, sheet, reader, samples, estimates)
    return estimates


def _spread(reader: PyavReader, count: int) -> list[float]:
    """The middles of shots of a short file, the longest first; else of `count` equal parts of the file."""
    info = reader.info
    length = float(frame_count(info) / info.video.frame_rate)
    if frame_count(info) * info.video.width * info.video.height <= CUTS_WITHIN:
        times = []

        def lumas() -> Iterator[Luma]:
            for frame in reader.frames():
                times.append(float(frame.pts * reader.time_base - info.start))
                yield frame.luma_small()

        starts = list(find_shots(lumas()))
        shots = [times[first:stop] for first, stop in pairwise([*starts, len(times)])]
        if len(shots) >= count:
            longest = sorted(shots, key=lambda shot: shot[0] - shot[-1])[:count]
            return [(shot[0] + shot[-1]) / 2 for shot in longest]
    return [length * (2 * i + 1) / (2 * count) for i in range(count)]


def _samples(reader: PyavReader, places: Iterable[float], length: float) -> Iterator[_Sample]:
    """`length`: seconds of each."""
    period = float(1 / reader.frame_rate)
    count = max(1, round(length / period))
    for seconds in sorted(places):
        first = max(0.0, seconds - (LEAD_IN + 0.5) * period)
        wanted = LEAD_IN + count if seconds > LEAD_IN * period else round(seconds / period) + count
        frames = list(islice(reader.frames_near(first), wanted))
        if not frames:
            raise SourceError(
                f"{reader.info.path} has no frame at {seconds:g} s", hint="give an earlier time with --at"
            )
        pictures = torch.stack([frame.rgb() for frame in frames])
        shown = max(0, len(frames) - count)
        shown_at = float(frames[shown].pts * reader.time_base - reader.info.start)
        part = _part(pictures, shown, PIXELS if count == 1 else PLAYED_PIXELS)
        yield _Sample(shown_at, part, shown, (pictures.shape[-2], pictures.shape[-1]))


def _part(pictures: Tensor, shown: int, pixels: int) -> Tensor:
    """Whole frames of up to `pixels`, else the part of that size which has most detail in the frame `shown`."""
    height, width = pictures.shape[-2:]
    shrink = (pixels / (height * width)) ** 0.5
    if shrink >= 1:
        return pictures
    size = int(width * shrink) // 2 * 2, int(height * shrink) // 2 * 2
    x, y = most_detailed(_picture(pictures[shown]), size)
    return Area(x, y, x + size[0], y + size[1]).of(pictures)


def _upscale(
    samples: Sequence[_Sample], wanted: Sequence[Trial], on_frames: Callable[[int, int], None]
) -> Iterator[float]:
    """Fill in the results of every sample; gives the seconds for a whole frame, trial by trial."""
    done, total = 0, len(wanted) * sum(len(sample.frames) for sample in samples)
    models: dict[tuple[object, ...], PictureModel] = {}
    for trial in wanted:
        model = _model(trial.settings, models)
        speeds = []
        for sample in samples:
            began = time.monotonic()
            pictures = upscale_frames(sample.frames, model=model, settings=_sized(trial.settings, sample))
            speeds.append((time.monotonic() - began) / (len(sample.frames) * sample.share))
            sample.results.append([_picture(picture) for picture in pictures[sample.first :]])
            done += len(sample.frames)
            on_frames(done, total)
        yield min(speeds)  # the first of a model warms up


def _model(settings: Settings, loaded: dict[tuple[object, ...], PictureModel]) -> PictureModel:
    names = ("model", "device", "dtype", "engine", "prompt", "negative_prompt", "cfg_scale")
    options = {name: getattr(settings, name) for name in names}
    key = tuple(options.values())
    if key not in loaded:
        loaded[key] = load_model(options.pop("model"), **options)
    return loaded[key]


def _sized(settings: Settings, sample: _Sample) -> Settings:
    """Width and height that are meant for the whole frame, for the part."""
    height, width = sample.whole
    across, down = (settings.width or 0) / width, (settings.height or 0) / height
    if not (across or down):
        return settings
    part_height, part_width = sample.frames.shape[-2:]
    sides = {"width": round(part_width * (across or down)), "height": round(part_height * (down or across))}
    return settings.model_copy(update=sides)


def _picture(frame: Tensor) -> Picture:
    """(3, H, W) in [0, 1]."""
    return np.asarray(frame.permute(1, 2, 0).mul(255).round().byte().numpy())


def _moments(sample: _Sample, info: SourceInfo) -> Iterator[list[Picture]]:
    """What is shown of a sample, moment by moment: the source and every trial."""
    for number, frame in enumerate(sample.frames[sample.first :]):
        pictures = [_picture(frame), *(result[number] for result in sample.results)]
        yield [upright(picture, info.video) for picture in pictures]


def _write(
    page: Path, sheet: Path, reader: PyavReader, samples: Sequence[_Sample], estimates: Sequence[Estimate]
) -> None:
    info = reader.info
    names = ["source", *(estimate.name for estimate in estimates)]
    films = [list(_moments(sample, info)) for sample in samples]
    moments = [film[0] for film in films]
    places = [clock(sample.seconds, places=True) for sample in samples]
    shrink = fitting(sum(picture.size // 3 for moment in moments for picture in moment))
    images = encoded([layers(dict(enumerate(moment)), shrink=shrink) for moment in moments])
    stills = [
        Still(f"moment-{number}", sample.seconds, place, place, found)
        for number, (sample, place, found) in enumerate(zip(samples, places, images, strict=True), start=1)
    ]
    largest = max((picture for moment in moments for picture in moment), key=lambda picture: picture.size)
    aspect = info.video.sample_aspect_ratio or Fraction(1)
    across = float(1 / aspect if round(info.video.rotation / 90) % 2 else aspect)
    part = samples[0].share < 1
    size = round(largest.shape[1] * across), largest.shape[0]
    render(
        page,
        title=f"Preview of {shown(info.path.name)}",
        summary=f"{info.video.width}x{info.video.height}, {len(samples)} moments"
        + (", the most detailed part of each" if part else ""),
        names=names,
        size=size,
        stills=stills,
        films=[
            play(names, film, size=size, rate=float(reader.frame_rate), caption=f"From {place}")
            for film, place in zip(films, places, strict=True)
            if len(film) > 1
        ],
        details=Details(
            tables={
                "The whole file on this machine, about": {
                    estimate.name: f"{duration(estimate.hours * 3600)}, {estimate.seconds_per_frame:.2f} s a frame"
                    for estimate in estimates
                }
            }
        ),
    )
    with write_errors(sheet.parent):
        write_sheet(sheet, moments, columns=names, rows=places)
