"""Plots over time as SVG that stands in a page: Matplotlib's, for it needs no script.

A page with Plotly would carry 4 MB of it. The colours are names of the page's style and follow light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dossr_video.quality.track import Measured, Values

WIDTH, HEIGHT = 520, 190  # CSS pixels
LEFT, RIGHT = 0.09, 0.985  # where time begins and ends, as fractions of the width
BOTTOM, TOP = 0.15, 0.95
POINTS = 400  # of a line: each is the lowest or the highest value of a stretch of time

INK, GRID, BAND = "#010101", "#020202", "#030303"
LINES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
_NAMES = {INK: "var(--soft)", GRID: "var(--rule)", BAND: "var(--band)"}
_NAMES |= {color: f"var(--line-{number})" for number, color in enumerate(LINES)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "dossr-video",
    "font.size": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def line_plot(measured: Measured, lines: Mapping[int, Values]) -> str:
    """Values over the time of the source as an SVG element; bands are shots.

    `lines`: by the number of the file, which gives the colour.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
        axes = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
        figure.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        end = time_end(measured)
        for shot in measured.shots[1::2]:
            stop = end if shot.stop == len(measured.seconds) else float(measured.seconds[shot.stop])
            axes.axvspan(float(measured.seconds[shot.start]), stop, color=BAND, linewidth=0)
        for number, values in lines.items():
            axes.plot(*_thinned(measured.seconds, values), color=LINES[number % len(LINES)], linewidth=1.4)
        axes.set_xlim(0, end)
        axes.set_ylim(0, None)
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.tick_params(length=0, pad=6)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds, places=end < 10)))
        data = io.StringIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
    return _inline(data.getvalue())


def time_end(measured: Measured) -> float:
    """Seconds at which the last frame ends."""
    seconds = measured.seconds
    return float(seconds[-1] + (seconds[-1] - seconds[-2] if len(seconds) > 1 else 1.0))


def clock(seconds: float, *, places: bool = False) -> str:
    """1:02:03, 2:03 or, with `places`, 0:03.4"""
    minutes, rest = divmod(round(seconds, 1) if places else round(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:04.1f}" if places else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def _thinned(seconds: Values, values: Values) -> tuple[Sequence[float], Sequence[float]]:
    """At most POINTS points; peaks stay."""
    if len(values) <= POINTS:
        return seconds.tolist(), values.tolist()
    chosen: list[int] = []
    for part in np.array_split(np.arange(len(values)), POINTS // 2):
        known = part[~np.isnan(values[part])]
        if len(known):
            chosen += sorted({int(known[values[known].argmin()]), int(known[values[known].argmax()])})
        else:
            chosen.append(int(part[0]))
    return seconds[chosen].tolist(), values[chosen].tolist()


def _inline(svg: str) -> str:
    """The element alone, without size and names, in the page's colours."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element))
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    for color, name in _NAMES.items():
        element = element.replace(color, name)
    return element.replace("<svg", '<svg aria-hidden="true"', 1)
