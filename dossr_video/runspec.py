"""What a run does, decided once by `jobs.resolve`: every part below it gets this, or a part of it, never the settings.

A value of None says that there is no such thing (no tiles, no sampling); never that somebody still has to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from dossr_video.models.base import NetworkInfo, Offload, SamplerDefaults
from dossr_video.restoration.spec import RestorationSpec
from dossr_video.video.info import fps
from dossr_video.video.read.reader import ReadSpec
from dossr_video.video.write.spec import VideoSpec

if TYPE_CHECKING:  # it needs torch, which `status` and the like do not wait for
    from dossr_video.models.footprint import Footprint


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker loads. Each machine finds out by itself what `auto` means on it and reports that as WorkerInfo."""

    model: str  # name or path
    prompt: str | None  # None: the one the model was trained with, or a model without text
    negative_prompt: str | None  # None: empty, or a model without text
    cfg_scale: float
    flow: str  # name or path of the optical flow
    device: str
    dtype: str
    engine: str
    threads: int | None  # CPU threads; None: torch's own number
    chunk: int  # frames sampled at once, at most
    offload: Offload = "auto"  # parts of the model that do not work wait in main memory


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker has loaded, and on what."""

    model: str  # name or path; never `auto`
    weights: str  # sha256 of the weights of all networks
    dtype: str  # that the networks compute in
    engine: str  # that runs their layers
    device: str
    threads: int  # CPU threads
    scale: int  # output side / input side of the model
    defaults: SamplerDefaults | None  # None: a model that samples nothing
    version: str  # of this program
    networks: tuple[NetworkInfo, ...] = ()  # those of others that the model is made of
    pixel_bytes: float | None = None  # memory for each pixel of a frame; None: not known
    footprint: Footprint | None = None  # memory of a model of several parts; None: not known
    memory: int | None = None  # bytes that the accelerator has; None: not known, or a CPU


@dataclass(frozen=True)
class ModelSpec:
    """The networks."""

    name: str  # name or path of the model; never `auto`
    reason: str  # why this model
    weights: str  # sha256 of the weights of all networks
    dtype: str
    engine: str  # that runs the layers of the networks
    cfg_scale: float
    prompt: str | None = None  # None: the model takes no text
    negative_prompt: str | None = None  # None: the model takes no text
    scale: int = 4  # output side / input side of the model
    networks: tuple[NetworkInfo, ...] = ()  # those of others that the model is made of

    def describe(self) -> tuple[str, ...]:
        """The model and its networks, one line each."""
        return f"model: {self.name} ({self.reason})", *(f"model: {each.file}: {each}" for each in self.networks)


@dataclass(frozen=True)
class SamplingSpec:
    """How a domain-shift model is sampled."""

    steps: int  # network calls
    order: Literal[1, 2, 3]  # of the solver
    corrected_third_order: bool
    final: Literal["landing", "x0"]
    posterior: Literal["mean", "sample"]
    color_fix: Literal["none", "adain", "wavelet"]


@dataclass(frozen=True)
class TemporalSpec:
    """What keeps the frames of a shot alike."""

    noise: Literal["shared", "warped", "independent"]
    seed: int  # of all noise
    blend: Literal["latent", "pixel", "off"]
    blend_calls: Literal["first", "last", "all"]
    blend_strength: float
    deflicker: bool
    flow: str  # name or path of the optical flow
    dedupe: bool
    warm_start: int | None = None  # network calls of a frame that goes on from the one before; None: as all others


@dataclass(frozen=True)
class MachineSpec:
    """The machine."""

    device: str  # of the first worker
    workers: int
    threads: int  # CPU threads of a worker
    chunk: int  # frames sampled at once
    tile: int | None = None  # input pixels a side; None: whole frames
    codec_tile: int | None = None  # the same of pictures to latents and back alone; None: as `tile`


@dataclass(frozen=True)
class AddedFile:
    """A file whose tracks are added to the source's."""

    kind: Literal["audio", "subtitle"]  # of the tracks
    path: str
    size: int  # bytes
    sample: str  # sha256 of it; version 0.1.0 took it of parts of it


@dataclass(frozen=True)
class RunSpec:
    """One run over one file."""

    read: ReadSpec
    model: ModelSpec
    temporal: TemporalSpec
    restoration: RestorationSpec
    machine: MachineSpec
    video: VideoSpec
    container: str  # FFmpeg's muxer; of pictures their kind
    qc: bool  # whether every shot is measured, and done again where it has faults
    tracks: tuple[AddedFile, ...] = ()  # in the order of their tracks
    sampling: SamplingSpec | None = None  # None: the model samples nothing
    start_number: int | None = None  # of the first picture of a sequence; None: a film is written
    provenance: str | None = None  # written into the metadata: what made the picture; None: nothing is written

    def describe(self) -> str:
        """What is written, one line."""
        video = self.video
        quality = "" if video.encoding.crf is None else f" crf {video.encoding.crf:g}"
        kind = "pictures" if self.start_number is not None else self.container
        return (
            f"{kind}: {video.encoding.encoder}{quality}, {video.width}x{video.height}, "
            f"{video.encoding.pix_fmt}, {fps(video.frame_rate)}"
        )

    def describe_model(self) -> str:
        """What the frames go through, one line."""
        steps = self.sampling.steps if self.sampling is not None else 0
        calls = "" if not steps else ", 1 network call" if steps == 1 else f", {steps} network calls"
        if self.temporal.warm_start is not None:
            calls += f", {self.temporal.warm_start} after a shot's first frame"
        by = "" if self.model.engine == "torch" else f" by {self.model.engine}"
        where = f"{self.model.dtype}{by} on {self.machine.device}"
        workers = f", {self.machine.workers} workers" if self.machine.workers > 1 else ""
        networks = "".join(f"; {network}" for network in self.model.networks)
        return f"model {self.model.name} ({self.model.reason}){calls}, {where}{workers}{networks}"

    def as_json(self) -> dict[str, Any]:
        """Groups of plain values, as the report's `settings`: what there is not is left out."""
        data: dict[str, Any] = _adapter().dump_python(self, mode="json", exclude_none=True)
        return data

    def flat(self) -> dict[str, Any]:
        """All values, None too, without the groups: each by its own name, a `name` by that of its group."""
        return dict(_flat("", _adapter().dump_python(self, mode="json")))


@cache
def _adapter() -> TypeAdapter[RunSpec]:
    return TypeAdapter(RunSpec)


def _flat(group: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += _flat(name, value)
        else:
            pairs.append((group if name == "name" else name, value))
    return pairs
