"""What was mended in each shot, for the report."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from dossr_video.jobs.plan import Plan
from dossr_video.segments import CELLS, Dirt, SegmentResult


def dust_by_shot(plan: Plan, results: Iterable[SegmentResult]) -> dict[str, Any]:
    """The fields of the report that tell of dust."""
    found = [Dirt()] * plan.shots
    shots = {segment.index: segment.shot for segment in plan.segments}
    for result in results:
        found[shots[result.index]] += result.dirt
    return {
        "specks": tuple(dirt.specks for dirt in found),
        "lines": tuple(dirt.lines for dirt in found),
        "dust_maps": tuple(map_of(dirt) for dirt in found),
    }


def map_of(dirt: Dirt) -> str:
    """A PNG in base64 with a pixel for each cell: black where nothing was mended, white where most was."""
    if not dirt.cells:
        return ""
    cells = np.array(dirt.cells, np.float32).reshape(CELLS)
    _, data = cv2.imencode(".png", (255 * cells / cells.max()).round().astype(np.uint8))
    return base64.b64encode(data.tobytes()).decode()
