"""The page that holds a source and its results against each other: one HTML file, nothing else needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from dossr_video.html import environment
from dossr_video.jobs.resources import write_file
from dossr_video.names import shown
from dossr_video.quality.track import Measured
from dossr_video.report.excerpts import Excerpt, excerpts
from dossr_video.report.measure import measure
from dossr_video.report.places import Place, find_places
from dossr_video.report.plots import LEFT, RIGHT, clock, line_plot, time_end
from dossr_video.report.stills import FULL, Still, by_interest, choose, colored, shape, take
from dossr_video.video.info import fps
from dossr_video.video.read.probe import container_name
from dossr_video.video.read.pyav import VideoReader

TEMPLATES = environment("dossr_video.report")


@dataclass(frozen=True)
class Passed:
    """A check and what it found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Details:
    """What is known about a result beside its pictures; all of it may be empty."""

    checks: Sequence[Passed] = ()
    lost: Sequence[str] = ()
    warnings: Sequence[str] = ()
    damage: Sequence[tuple[float, str]] = ()  # seconds from the first frame, what
    plan: Sequence[str] = ()  # what was found about the source and done for it
    maps: Sequence[tuple[str, str]] = ()  # of each shot that was mended: what was, and a PNG in base64 of where
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # heading: name: value


@dataclass(frozen=True)
class Version:
    """One file on the page."""

    name: str
    reader: VideoReader


PLOTS = {
    "difference": (
        "Difference from the source",
        "Mean absolute difference of luma between source and result scaled down, of 255; removed noise counts too.",
    ),
    "sharpness": (
        "Sharpness",
        "Mean absolute difference between luma and its blur, in the middle of the largest file; noise counts too.",
    ),
    "flicker": (
        "Flicker",
        "Mean absolute second difference of luma in time, of 255; motion counts alike in source and result.",
    ),
    "brightness": ("Brightness", "Mean luma, of 255; the lines should be one."),
}
"""Title and explanation by the name of the figure in Track."""


def write_page(
    page: Path,
    versions: Sequence[Version],
    *,
    title: str,
    details: Details | None = None,
    start: float = 0.0,
    measured: Measured | None = None,
    on_frame: Callable[[int], None] = lambda count: None,
) -> None:
    """Write `page` about the source, the first of the versions, and its results.

    Args:
        page: The HTML file.
        versions: The source and at least one result; their readers are open.
        title: Of the page.
        details: What else is known about the result.
        start: Seconds of the source before the results begin.
        measured: How they compare, where that is known already; None: all files are read for it.
        on_frame: Called with the number of frames that are measured.

    Raises:
        SourceError: A file has no frame.
        TargetError: The page cannot be written.
    """
    details = details or Details()
    readers = [version.reader for version in versions]
    measured = measured or measure(readers[0], readers[1:], start=start, on_frame=on_frame)
    names = [version.name for version in versions]
    places = find_places(measured, names, details.damage)
    marks = {place.frame: place.kind for place in places}
    chosen = choose(measured, places)
    stills = take(measured, readers, chosen, marks)
    end = time_end(measured)
    render(
        page,
        title=title,
        summary=_summary(versions, measured),
        names=names,
        size=max((shape(reader.info.video) for reader in readers), key=lambda size: size[0] * size[1]),
        stills=stills,
        films=excerpts(names, measured, readers, by_interest(measured, chosen, marks)),
        details=details,
        places=_places(measured, stills, places),
        files=[_file(version) for version in versions],
        plots=_plots(measured),
        shots=_shots(measured, stills, places=end < 10),
        end=end,
    )


def render(
    page: Path,
    *,
    title: str,
    summary: str,
    names: Sequence[str],
    size: tuple[int, int],
    stills: Sequence[Still],
    details: Details,
    films: Sequence[Excerpt] = (),
    places: Sequence[dict[str, Any]] = (),
    files: Sequence[dict[str, str]] = (),
    plots: Sequence[dict[str, Any]] = (),
    shots: Sequence[dict[str, Any]] = (),
    end: float = 1.0,
) -> None:
    """Write the page; what is empty has no place in it. `size`: width and height at which the pictures are shown."""
    text = TEMPLATES.get_template("page.html").render(
        title=title,
        summary=summary,
        names=names,
        labels=_labels(names),
        width=size[0],
        height=size[1],
        stills=stills,
        films=films,
        details=details,
        places=places,
        files=files,
        plots=plots,
        shots=shots,
        end=end,
        left=LEFT,
        right=RIGHT,
        full=FULL,
        colors=_colors(),
    )
    write_file(page, text.encode())


def _summary(versions: Sequence[Version], measured: Measured) -> str:
    sizes = [f"{version.reader.info.video.width}x{version.reader.info.video.height}" for version in versions]
    frames, shots, end = len(measured.seconds), len(measured.shots), time_end(measured)
    return (
        f"{sizes[0]} to {' and '.join(dict.fromkeys(sizes[1:]))}, {frames} frames, {clock(end, places=end < 10)}, "
        f"{shots} shot{'s' if shots > 1 else ''}"
    )


def _file(version: Version) -> dict[str, str]:
    info = version.reader.info
    video = info.video
    return {
        "name": version.name,
        "path": shown(info.path),
        "size": f"{info.size:,} bytes",
        "picture": f"{video.width}x{video.height}",
        "kind": f"{video.codec}, {video.pix_fmt}, {fps(video.frame_rate)}",
        "container": container_name(info.container),
        "length": "unknown" if info.duration is None else f"{float(info.duration):.3f} s",
    }


def _plots(measured: Measured) -> list[dict[str, Any]]:
    """Each with a line for every file; the source's difference from itself is left out."""
    plots = []
    for figure, (title, text) in PLOTS.items():
        files = range(figure == "difference", len(measured.tracks))
        svg = line_plot(measured, {number: getattr(measured.tracks[number], figure) for number in files})
        plots.append({"title": title, "text": text, "svg": Markup(svg), "files": files})  # drawn here  # nosec B704
    return plots


def _shots(measured: Measured, stills: Sequence[Still], *, places: bool) -> list[dict[str, Any]]:
    """A row for each shot; figures are means."""
    shown = {measured.shot_of(measured.frame_at(still.seconds)): still.anchor for still in reversed(stills)}

    def means(shot: range, figure: str) -> list[str]:
        values = [getattr(track, figure)[shot.start : shot.stop] for track in measured.tracks]
        return [f"{value[~np.isnan(value)].mean():.2f}" if not np.isnan(value).all() else "" for value in values]

    return [
        {
            "number": number + 1,
            "anchor": shown.get(number),
            "begins": clock(float(measured.seconds[shot.start]), places=places),
            "frames": len(shot),
            "figures": [means(shot, figure)[figure == "difference" :] for figure in PLOTS],
        }
        for number, shot in enumerate(measured.shots)
    ]


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Of every layer of the pictures, by its key."""
    files = {str(number): name for number, name in enumerate(names)}
    return files | {f"map-{number}": f"difference map of {name}" for number, name in enumerate(names) if number}


def _places(measured: Measured, stills: Sequence[Still], places: Sequence[Place]) -> list[dict[str, Any]]:
    shown = {still.anchor for still in stills}
    return [
        {
            "seconds": float(measured.seconds[place.frame]),
            "what": place.what,
            "anchor": anchor if (anchor := f"frame-{place.frame}") in shown else None,
        }
        for place in places
    ]


def _colors() -> list[str]:
    """Of the map of differences, from none to FULL."""
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in colored(np.linspace(0, 255, 9).astype(np.uint8)[None])[0]]
