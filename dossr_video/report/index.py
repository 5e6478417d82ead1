"""The page of a library: a row for each file, with the way to its own page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dossr_video.errors import TargetError
from dossr_video.jobs.resources import write_file
from dossr_video.report.page import TEMPLATES

GENERATOR = b'<meta name="generator" content="dossr-video">'  # in the head of every page


@dataclass(frozen=True)
class Row:
    """One file of a library; what is not known is an empty text."""

    source: str  # path below the library
    state: str  # "done", "failed" or "running"
    page: str = ""  # address of its page, from the index
    picture: str = ""  # width and height of source and result
    frames: str = ""
    size: str = ""
    time: str = ""
    found: Sequence[str] = ()  # what went wrong, was lost or damaged, one line each


def require_index_place(index: Path) -> None:
    """TargetError where something lies there that `write_index` has not written."""
    if os.path.lexists(index) and not (index.is_file() and GENERATOR in index.read_bytes()[:1000]):
        raise TargetError(
            f"{index} was not written by dossr-video, and the index is to be written there",
            hint="move it away, or give it another name",
        )


def write_index(index: Path, rows: Sequence[Row], *, title: str) -> None:
    """Write the page; TargetError when that is not possible."""
    counts = Counter(row.state for row in rows)
    text = TEMPLATES.get_template("index.html").render(title=title, rows=rows, counts=dict(sorted(counts.items())))
    write_file(index, text.encode())
