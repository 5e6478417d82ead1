"""Where the parts are put together: one model on one device, doing one segment after another."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dossr_video.heap import give_back_memory
from dossr_video.jobs import durable
from dossr_video.models.raft import RaftFlow, load_flow
from dossr_video.models.registry import load_model
from dossr_video.pipeline.memory import MemoryBudget
from dossr_video.pipeline.segment import run_segment
from dossr_video.segments import Segment, SegmentResult
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import open_reader
from dossr_video.video.read.deinterlace import FieldSpan
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.write.writer import VideoSpec, VideoWriter


@dataclass(frozen=True)
class Task:
    """A segment, the file it is cut from, the file it becomes, how that is written and its fields made whole."""

    segment: Segment
    source: Path
    target: Path
    spec: VideoSpec
    fields: tuple[FieldSpan, ...]
    url: str | None = None  # where a machine that does not see `source` may fetch it


class Worker:
    """Holds the model; whatever runs it, in this process or another, gets the same files."""

    def __init__(self, settings: Settings, *, device: str) -> None:
        """Raises ModelError when the model or the optical flow cannot be loaded, SettingsError for options it lacks."""
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.settings = settings
        self.model = load_model(
            settings.model,
            device=device,
            dtype=settings.dtype,
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            cfg_scale=settings.cfg_scale,
        )
        self.flow = load_flow(settings.flow, device=self.model.device)
        self.budget = MemoryBudget(self.model, self.flow, settings)
        self._reader: VideoReader | None = None
        self._read: tuple[Path, int, int] | None = None  # path, bytes, date of what the reader reads

    @property
    def weights(self) -> str:
        """sha256 of the weights of all networks."""
        if not isinstance(self.flow, RaftFlow):
            return self.model.digest
        return hashlib.sha256(f"{self.model.digest} {self.flow.digest}".encode()).hexdigest()

    def run(self, task: Task, *, on_frames: Callable[[int], None]) -> SegmentResult:
        """Make the segment's file; it has its name only when it is whole and on the disk.

        `on_frames` gets the number of frames written so far; what it raises ends the work.
        """
        temporary = task.target.with_name(f"{task.target.stem}.{secrets.token_hex(4)}.part{task.target.suffix}")
        reader = self._reader_of(task.source, task.fields)
        try:
            with VideoWriter(temporary, task.spec) as writer:
                result = run_segment(
                    task.segment,
                    reader=reader,
                    writer=writer,
                    budget=self.budget,
                    settings=self.settings,
                    on_frames=on_frames,
                )
            durable.settle(temporary, task.target)
        finally:
            temporary.unlink(missing_ok=True)
            give_back_memory()  # else the heap's holes add up over a thousand segments
        return result

    def close(self) -> None:
        """Let go of the file it read last."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _reader_of(self, source: Path, fields: tuple[FieldSpan, ...]) -> VideoReader:
        """The reader stays open from segment to segment: where it stopped, the next one often begins."""
        status = source.stat()
        read = (source, status.st_size, status.st_mtime_ns)
        if self._reader is None or self._read != read:
            self.close()
            self._reader, self._read = open_reader(source, self.settings, fields=fields), read
        return self._reader
