"""A sheet of details: a row for each moment, a column for the source and for each way to do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dossr_video.report.moments import Picture, enlarged
from dossr_video.report.picture import GAP, PAPER, label, most_detailed

CELL = (480, 360)  # pixels of a detail, at most: width, height
LETTERS = 14  # pixels


def write_sheet(
    sheet: Path, moments: Sequence[Sequence[Picture]], *, columns: Sequence[str], rows: Sequence[str]
) -> None:
    """Write `sheet`, a PNG, of the most detailed part of each moment, pixel by pixel.

    Args:
        sheet: The PNG file.
        moments: Of each the pictures (H, W, 3) by column, the source first; all are shown at the largest one's size.
        columns: What each column is.
        rows: When each moment is.
    """
    largest = max((picture for moment in moments for picture in moment), key=lambda picture: picture.size)
    width, height = min(CELL[0], largest.shape[1]), min(CELL[1], largest.shape[0])
    picture = Image.new("RGB", (len(columns) * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP), PAPER)
    for i, moment in enumerate(moments):
        shown = [enlarged(version, largest) for version in moment]
        x, y = most_detailed(shown[-1], (width, height))
        for j, version in enumerate(shown):
            detail = Image.fromarray(version[y : y + height, x : x + width])
            picture.paste(detail, (j * (width + GAP), i * (height + GAP)))
    for j, text in enumerate(columns):
        label(picture, (j * (width + GAP), 0), text, size=LETTERS)
    for i, text in enumerate(rows):
        label(picture, (0, i * (height + GAP) + height - 2 * LETTERS), text, size=LETTERS)
    picture.save(sheet, format="PNG")
