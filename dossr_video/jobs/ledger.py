"""Which segments are done: one JSON line each, appended after the segment's closed file has its name on the disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dossr_video.segments import SegmentResult


class Ledger:
    """The append-only list of finished segments of one job, and the files they name.

    A segment counts only while its file is there with the size the line states. A torn line (a power cut while it was
    written) and lines that cannot be read are skipped: their segments are computed again.
    """

    def __init__(self, path: Path, segments: Path) -> None:
        """`segments` is the folder of the files."""
        self._path = path
        self._segments = segments

    def finished(self) -> dict[int, SegmentResult]:
        """Results of the segments that need not run again, by index."""
        results: dict[int, SegmentResult] = {}
        for line in self._lines():
            try:
                entry = json.loads(line)
                result = SegmentResult.of_json(entry["result"])
                file, size = self._segments / entry["file"], int(entry["bytes"])
            except (ValueError, KeyError, TypeError):
                continue
            if _size(file) == size:
                results[result.index] = result
        return results

    def record(self, result: SegmentResult, file: Path) -> None:
        """Add a segment whose file has its final name; returns when the line is on the disk."""
        entry = {"result": result.as_json(), "file": file.name, "bytes": file.stat().st_size}
        # The newline in front ends whatever a power cut left of the line before.
        line = b"\n" + json.dumps(entry).encode() + b"\n"
        with self._path.open("ab", buffering=0) as ledger:
            ledger.write(line)
            os.fsync(ledger.fileno())

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().split(b"\n") if line]
        except FileNotFoundError:
            return []


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
