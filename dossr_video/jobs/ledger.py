"""Which segments are done: one JSON line each, appended after the segment's closed file has its name on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dossr_video.errors import SourceError
from dossr_video.jobs.fingerprint import sha256
from dossr_video.segments import SegmentResult


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    result: SegmentResult
    key: str  # of what was asked, see Plan.keys
    file: str  # name of the segment's file
    size: int  # bytes
    sha256: str  # of the file


class Ledger:
    """The append-only list of finished segments of one job, and the files they name.

    Each line begins with a digest of the rest. A torn line (a power cut while it was written) and lines that are not
    what was written are skipped: their segments are computed again.
    """

    def __init__(self, path: Path, segments: Path) -> None:
        """`segments` is the folder of the files."""
        self._path = path
        self._segments = segments

    def finished(self) -> dict[int, SegmentResult]:
        """Results of the segments whose file is there in its full size, by index."""
        return {index: entry.result for index, entry in self._entries().items() if self._has_size(entry)}

    def checked(self, keys: Mapping[int, str]) -> tuple[dict[int, SegmentResult], list[str]]:
        """Reads every finished segment: the results of those that are as they were written, and a line on each other.

        `keys` says what is asked of each segment; the lines of another plan are not believed.
        """
        results: dict[int, SegmentResult] = {}
        wrong: list[str] = []
        for index, entry in sorted(self._entries().items()):
            problem = "belongs to another plan" if keys.get(index) != entry.key else self._problem(entry)
            if problem is None:
                results[index] = entry.result
            else:
                wrong.append(f"the finished segment {index} {problem}; it is computed again")
        return results, wrong

    def record(self, result: SegmentResult, file: Path, key: str) -> None:
        """Add a segment whose file has its final name; returns when the line is on the disk."""
        content = {"result": result.as_json(), "key": key, "file": file.name}
        entry = {**content, "size": file.stat().st_size, "sha256": sha256(file)}
        # The newline in front ends whatever a power cut left of the line before.
        text = json.dumps(entry).encode()
        line = b"\n" + _digest(text) + b" " + text + b"\n"
        with self._path.open("ab", buffering=0) as ledger:
            ledger.write(line)
            os.fsync(ledger.fileno())

    def _entries(self) -> dict[int, Entry]:
        """The last line about each segment."""
        entries: dict[int, Entry] = {}
        for line in self._lines():
            try:
                digest, _, text = line.partition(b" ")
                if digest != _digest(text):
                    continue
                data = json.loads(text)
                entry = Entry(**{**data, "result": SegmentResult.of_json(data["result"])})
            except (ValueError, KeyError, TypeError):
                continue
            entries[entry.result.index] = entry
        return entries

    def _has_size(self, entry: Entry) -> bool:
        try:
            return (self._segments / entry.file).stat().st_size == entry.size
        except OSError:
            return False

    def _problem(self, entry: Entry) -> str | None:
        """What is wrong with the file of a segment; None: nothing."""
        file = self._segments / entry.file
        try:
            return None if sha256(file) == entry.sha256 else "is not what was written"
        except FileNotFoundError:
            return "is missing"
        except (OSError, SourceError) as error:
            return f"cannot be read ({error})"

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().split(b"\n") if line]
        except FileNotFoundError:
            return []


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
