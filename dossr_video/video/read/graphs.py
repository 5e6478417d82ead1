"""Filter graphs of FFmpeg for decoded frames."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av


def graph_of(
    frame: Any, filters: Iterable[tuple[str, str]], *, time_base: Fraction, frame_rate: Fraction | None = None
) -> Any:
    """A graph that takes frames like this one through the filters, each a name and its arguments.

    It is built from a string: a template stream would lose the frame rate, and with it the field period.
    """
    graph = av.filter.Graph()
    rate = "" if frame_rate is None else f":frame_rate={frame_rate}"
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={time_base}{rate}"
        f":pixel_aspect=1/1:colorspace={frame.colorspace}:range={frame.color_range}",
    )
    graph.link_nodes(source, *(graph.add(*each) for each in filters), graph.add("buffersink")).configure()
    return graph
