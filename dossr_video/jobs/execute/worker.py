"""A worker: one model on one device, which computes one segment after another."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from dossr_video.errors import ModelError
from dossr_video.heap import give_back_memory, map_large_blocks
from dossr_video.jobs import durable
from dossr_video.jobs.execute.executor import Task
from dossr_video.jobs.fingerprint import lasting
from dossr_video.models.base import DomainShiftModel, PictureModel
from dossr_video.models.footprint import size_of
from dossr_video.models.raft import RaftFlow, load_flow
from dossr_video.models.registry import load_model
from dossr_video.pipeline.keeping import Keeper
from dossr_video.pipeline.memory import MemoryBudget, Tiles, is_out_of_memory
from dossr_video.pipeline.segment import run_segment
from dossr_video.runspec import WorkerInfo, WorkerSpec
from dossr_video.segments import SegmentResult
from dossr_video.temporal.flow import FlowEstimator
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.read.reader import ReadSpec, open_reader
from dossr_video.video.write.encoders import LARGE
from dossr_video.video.write.writer import VideoWriter


def load_model_of(spec: WorkerSpec, *, device: str) -> PictureModel:
    """The model that a worker loads. Raises ModelError and SettingsError as `load_model`."""
    return load_model(
        spec.model,
        device=device,
        dtype=spec.dtype,
        engine=spec.engine,
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        cfg_scale=spec.cfg_scale,
        offload=spec.offload,
    )


class Worker:
    """Holds the model. The same task gives the same file in any process."""

    def __init__(self, spec: WorkerSpec, *, device: str, model: PictureModel | None = None) -> None:
        """Loads the model that `spec` names, where none is given.

        Raises ModelError when the model or the optical flow cannot be loaded, SettingsError as `load_model`.
        """
        if spec.threads is not None:
            torch.set_num_threads(spec.threads)
        model = model or load_model_of(spec, device=device)
        flow = load_flow(spec.flow, device=model.device)
        self._budget = MemoryBudget(model, flow, frames=spec.chunk)  # each task names its tiles
        self._reader: VideoReader | None = None
        self._read: tuple[Path, FileStatus, ReadSpec] | None = None  # what the reader reads, and how
        self.info = WorkerInfo(
            model=model.name,
            weights=_digest(model, flow),
            dtype=str(model.dtype).removeprefix("torch."),
            engine=model.engine,
            device=str(model.device),
            threads=torch.get_num_threads(),
            scale=model.scale,
            defaults=model.defaults if isinstance(model, DomainShiftModel) else None,
            version=version("dossr-video"),
            networks=model.network_info,
            pixel_bytes=model.pixel_bytes,
            footprint=model.footprint,
            memory=size_of(model.device),
        )

    def run(
        self, task: Task, *, on_frames: Callable[[int], None], stopping: Callable[[], bool] = lambda: False
    ) -> SegmentResult | None:
        """Make the segment's file; it has its name only when it is whole and on the disk.

        `on_frames` gets the number of frames written so far; what it raises ends the work. Once `stopping` says so the
        segment may end in the middle, and go on there another time: then there is no result.
        """
        if task.spec.video.width * task.spec.video.height >= LARGE:
            map_large_blocks()
        temporary = task.target.with_name(f"{task.target.stem}.{secrets.token_hex(4)}.part{task.target.suffix}")
        reader = self._reader_of(task.source, task.spec.read)
        keeper = None if task.only_area or task.spec.qc else self._keeper(task)
        self._budget.begin(Tiles(task.spec.machine.tile, task.spec.machine.codec_tile))
        try:
            with VideoWriter(temporary, task.spec.video) as writer:
                result = run_segment(
                    task.segment,
                    reader=reader,
                    writer=writer,
                    budget=self._budget,
                    spec=task.spec,
                    on_frames=on_frames,
                    only_area=task.only_area,
                    keeper=keeper,
                    stopping=stopping,
                )
                if result is None:
                    return None
            durable.settle(temporary, task.target)
            if keeper is not None:
                keeper.remove()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ModelError(
                f"memory ran out on {self.info.device}, outside of the networks, which go on with less",
                hint="close other programs, or lower --chunk, and give the same command again; finished segments are "
                "kept",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
            give_back_memory()  # else the heap's holes add up over a thousand segments
        return result

    def _keeper(self, task: Task) -> Keeper:
        asked = json.dumps([task.segment.as_json(), lasting(task.spec)], sort_keys=True)
        return Keeper(task.target, hashlib.sha256(asked.encode()).hexdigest())

    def close(self) -> None:
        """Close the file it read last."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _reader_of(self, source: SourceInfo, spec: ReadSpec) -> VideoReader:
        """The reader stays open between segments: the next one often begins where it stopped."""
        read = (source.path, status_of(source.path), spec)
        if self._reader is None or self._read != read:
            self.close()
            self._reader, self._read = open_reader(source, spec), read
        return self._reader


def _digest(model: PictureModel, flow: FlowEstimator) -> str:
    """sha256 of the weights of all networks."""
    if not isinstance(flow, RaftFlow):
        return model.digest
    return hashlib.sha256(f"{model.digest} {flow.digest}".encode()).hexdigest()
