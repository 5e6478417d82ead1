"""The report of a finished job: for `--json-report`, Python, the page and the catalogue."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dossr_video.jobs.attempts import ShotRecord
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.resources import readable
from dossr_video.names import shown
from dossr_video.runspec import RunSpec
from dossr_video.video.files import status_of
from dossr_video.video.info import SourceInfo, TrackFile
from dossr_video.video.mux.proof import Proof
from dossr_video.video.mux.remux import JoinReport
from dossr_video.video.mux.streams import describe
from dossr_video.video.read.damage import Damage
from dossr_video.video.read.probe import ffmpeg_version
from dossr_video.video.sequence import path_beside

FORMAT = 2  # of the report; raised when a field goes away or changes its meaning


class FileRecord(BaseModel):
    """A file as it was."""

    model_config = ConfigDict(frozen=True)

    path: str  # path or URL
    size: int  # bytes
    sha256: str
    container: str  # FFmpeg's name(s) of the format
    streams: tuple[str, ...]  # one line each, the picture first

    @classmethod
    def of(cls, info: SourceInfo, path: str, *, digest: str | None = None) -> FileRecord:
        """Reads the whole file for its hash, unless `digest` says it."""
        video = info.video
        return cls(
            path=path,
            size=status_of(info.path).size,
            sha256=digest or sha256(info.path),
            container=info.container,
            streams=(f"video stream {video.stream.index} ({video.describe()})", *map(describe, info.own_streams)),
        )

    @classmethod
    def of_tracks(cls, info: SourceInfo, file: TrackFile) -> FileRecord:
        """Of a file whose tracks are added to the source `info`. Reads the whole file for its hash."""
        return cls(
            path=shown(file.path),
            size=status_of(file.path).size,
            sha256=sha256(file.path),
            container=file.container,
            streams=tuple(describe(s) for s in info.streams if s.origin is not None and s.origin.file == file),
        )


class Report(BaseModel):
    """What a job did and found. Everything in it can be written as JSON; docs/REPORT.md explains it."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    source: FileRecord
    target: FileRecord
    tracks: tuple[FileRecord, ...] = ()  # files whose sound or subtitles were added, with the streams that were taken
    settings: RunSpec  # what the run did: nothing is left open; the model and its weights are among them
    versions: dict[str, str]  # of this program and of what it stands on
    machine: dict[str, str]
    started: str  # of this run: ISO 8601, UTC
    finished: str
    seconds: float  # of this run
    stages: dict[str, float]  # seconds of each stage of this run
    work_seconds: float  # of all segments, whichever run and worker did them
    processing: tuple[str, ...]  # findings about the source and what was done, one line each
    frames: int  # written
    duplicates: int  # of them duplicates of the frame before, not computed again
    shots: int
    specks: tuple[int, ...]  # of dust that were replaced, shot by shot
    lines: tuple[int, ...] = ()  # scratches that were evened out: one for each frame that shows it, shot by shot
    dust_maps: tuple[str, ...] = ()  # of each shot a PNG in base64: how often each place was mended; "": nowhere
    segments: int
    resumed: int  # segments that an earlier run had finished
    kept: str  # streams that were kept and verified, one line
    joined: JoinReport  # what the result was to hold beside the picture, for a later proof
    proof: Proof  # the checks made on the finished file
    lost: tuple[str, ...]  # what the target cannot hold, one line each
    damage: tuple[Damage, ...]  # of the source, in its time
    warnings: tuple[str, ...]  # one line each
    captions: dict[str, str] = Field(default_factory=dict)  # files that `batch` left beside it, with their SHA-256
    qc: tuple[ShotRecord, ...] | None = None  # shots in which faults were found; None: no shot was measured

    def dumps(self) -> str:
        """JSON; what there is not (no tiles, no prompt) is left out."""
        return self.model_dump_json(indent=2, exclude_none=True)

    def summary(self) -> str:
        """The last line a person sees."""
        if self.resumed:  # no rate: most frames may have been there
            took = f", {self.resumed} of {self.segments} segments from an earlier run, the rest in {self.seconds:.1f} s"
        else:
            took = f" in {self.seconds:.1f} s" + (f", {self.frames / self.seconds:.2f} fps" if self.seconds else "")
        return f"{self.settings.describe()}, {readable(self.target.size)}; {self.frames} frames{took}; {self.kept}"


def report_of(target: Path) -> Path:
    """Where the report of a result lies: beside it."""
    return path_beside(target, ".json")


def versions() -> dict[str, str]:
    """Of this program, Python, and the libraries that a result depends on."""
    packages = {name: version(name) for name in ("dossr-video", "torch", "ncnn", "numpy", "av")}
    return {**packages, "python": platform.python_version(), "ffmpeg": ffmpeg_version()}


def machine(device: str) -> dict[str, str]:
    """The machine on which the command runs; `device` is the first worker's."""
    found = {"system": platform.platform(), "processor": platform.machine(), "cores": str(os.cpu_count())}
    if device.startswith("cuda"):
        import torch

        found["accelerator"] = torch.cuda.get_device_name(device)
    return found
