"""The one place that decides: from what the user asked for, the source, the target and the model to a RunSpec."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import ModelError, SettingsError
from dossr_video.jobs.fingerprint import added_file
from dossr_video.jobs.memory import available
from dossr_video.jobs.resources import readable
from dossr_video.models.base import DEFAULT_PROMPT, EMPTY_PROMPT, SamplerDefaults
from dossr_video.models.footprint import REST, Footprint
from dossr_video.models.known import JOINED
from dossr_video.models.registry import BUILT_IN
from dossr_video.pipeline.memory import CHUNK, SMALLEST_TILE, Tiles, tiles_that_fit
from dossr_video.pipeline.segment import chunk_length
from dossr_video.runspec import (
    MachineSpec,
    ModelSpec,
    RunSpec,
    SamplingSpec,
    TemporalSpec,
    WorkerInfo,
    WorkerSpec,
)
from dossr_video.settings import MachineSettings, ModelSettings, Settings, TimeSettings
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import ProcessingPlan
from dossr_video.video.sequence import PictureSequence, is_numbered
from dossr_video.video.write.containers import container_of

SHARE = 0.5  # of the free memory that a tile is to take


def resolve(
    settings: Settings,
    source: SourceInfo,
    processing: ProcessingPlan,
    target: Path,
    *,
    worker: WorkerInfo,
    workers: int,
) -> RunSpec:
    """What a run with these settings does.

    Args:
        settings: What the user asked for.
        source: What `probe` found about the input.
        processing: What `analyse` decided for that input and `target`.
        target: The result; its extension names the container.
        worker: What the workers have loaded.
        workers: How many there are.

    Raises:
        SettingsError: An option has no meaning for the model.
        ModelError: The model takes more memory for a frame than this machine has left, or its accelerator has.
    """
    assert processing.video is not None, "analysed without a target"
    video = source.video
    native = processing.restoration.native
    width, height = round(video.width * native), round(video.height * native)
    _require_memory(worker, width, height, settings.tile)
    tiles = resolve_tiles(settings, worker.footprint, worker.memory, model=worker.model, width=width, height=height)
    return RunSpec(
        read=processing.read,
        model=_model(settings, worker),
        sampling=resolve_sampling(settings, worker.defaults, model=worker.model),
        temporal=resolve_temporal(settings, seed=settings.seed),
        restoration=processing.restoration,
        machine=MachineSpec(
            device=worker.device,
            workers=workers,
            threads=worker.threads,
            chunk=settings.chunk or chunk_length(video.width, video.height, scale=worker.scale, device=worker.device),
            tile=tiles.tile,
            codec_tile=tiles.codec_tile,
        ),
        video=processing.video,
        container=container_of(target).format,
        start_number=_start_number(settings, source, target),
        qc=settings.qc,
        tracks=tuple(added_file(file.path, file.kind) for file in source.track_files),
        provenance=_provenance(worker) if settings.provenance else None,
    )


def _require_memory(worker: WorkerInfo, width: int, height: int, tile: int | None) -> None:
    """ModelError where frames of that size, or their tiles, do not fit; where memory is not known they are tried."""
    free, pixel_bytes = available(), worker.pixel_bytes
    if worker.footprint is not None and worker.device == "cpu":
        pixel_bytes = worker.footprint.pixel_bytes
    if pixel_bytes is None or free is None:
        return
    sides = (width, height) if tile is None else (min(width, tile), min(height, tile))
    need = round(pixel_bytes * sides[0] * sides[1])
    if need <= free:
        return
    side = int((SHARE * free / pixel_bytes) ** 0.5) // 64 * 64
    raise ModelError(
        f"{worker.model} takes about {readable(need)} of memory for {'frames' if tile is None else 'tiles'} of "
        f"{sides[0]}x{sides[1]}; {readable(free)} are free",
        hint=f"give --tile {side}" if side >= SMALLEST_TILE else "close other programs, or choose a smaller model",
    )


def _start_number(settings: Settings, source: SourceInfo, target: Path) -> int | None:
    """Of the first picture: as the source's pictures are numbered, where it has any; None: a film is written."""
    given = settings.start_number
    if not is_numbered(target):
        if given is not None:
            raise SettingsError(
                f"--start-number {given} counts pictures, and {target.name} is a film",
                hint="leave it away, or name the result by numbers: out_%06d.png",
            )
        return None
    if given is not None:
        return given
    sequence = PictureSequence.of(source.path)
    skipped = math.ceil(Fraction(str(settings.start)) * source.video.frame_rate)
    return 1 if sequence is None else sequence.first + skipped


def worker_spec(settings: Settings) -> WorkerSpec:
    """What workers load for these settings, whatever the input."""
    return WorkerSpec(
        model=settings.model,
        prompt=settings.prompt,
        negative_prompt=settings.negative_prompt,
        cfg_scale=settings.cfg_scale,
        flow=settings.flow,
        device=settings.device,
        dtype=settings.dtype,
        engine=settings.engine,
        threads=settings.threads,
        chunk=settings.chunk or CHUNK,
        offload=settings.offload,
    )


def resolve_tiles(
    settings: MachineSettings, footprint: Footprint | None, memory: int | None, *, model: str, width: int, height: int
) -> Tiles:
    """What of frames of that size goes through the networks at once, by the memory that the accelerator has in all.

    What of it is free at the moment would give one picture today and another tomorrow. Raises ModelError where not even
    the smallest tiles fit, or those that were asked for.
    """
    given = settings.tile
    if footprint is None or memory is None:
        return Tiles(given)
    offload = settings.offload != "off"
    found = tiles_that_fit(footprint, memory, width=width, height=height, offload=offload)
    if found is not None and given is None:
        return found
    tile = min(given or SMALLEST_TILE, max(width, height))
    need = footprint.needed(width * height, offload=offload, tile=tile**2) + REST
    if need <= memory:
        return Tiles(given)
    remedy = "leave --tile away" if found is not None else "use --device cpu or a smaller model"
    raise ModelError(
        f"{model} takes about {readable(need)} of memory for frames of {width}x{height} in tiles of {tile}; the "
        f"accelerator has {readable(memory)}",
        hint=remedy if offload else f"leave --offload off away, or {remedy}",
    )


def resolve_sampling(settings: Settings, defaults: SamplerDefaults | None, *, model: str) -> SamplingSpec | None:
    """How the model called `model` is sampled; None for one that samples nothing, which has no `defaults`.

    Raises SettingsError for options of the sampler and of latents where the model has neither.
    """
    if defaults is not None:
        steps = settings.steps or defaults.steps
        _check_warm_start(settings, steps)
        return SamplingSpec(
            steps=steps,
            order=settings.order or defaults.order,
            corrected_third_order=settings.corrected_third_order,
            final=settings.final or defaults.final,
            posterior=settings.posterior,
            color_fix=settings.color_fix or defaults.color_fix,
        )
    for option in ("steps", "order", "final", "color_fix", "warm_start"):
        if (value := getattr(settings, option)) is not None:
            name = option.replace("_", "-")
            raise SettingsError(
                f"{model} samples nothing, so --{name} {value} has no meaning for it",
                hint=f"leave {name} away, on the command line and in the preset, or choose --model large",
            )
    if settings.blend == "latent":
        raise SettingsError(
            f"{model} has no latents, so --blend latent has nothing to blend",
            hint="use --blend pixel or off, or choose --model large",
        )
    return None


def _check_warm_start(settings: Settings, steps: int) -> None:
    warm = settings.warm_start
    if warm is not None and warm >= steps:
        raise SettingsError(
            f"--warm-start {warm} must be less than the network calls of a whole frame, here {steps}",
            hint="leave --warm-start away, or raise --steps",
        )
    if warm is not None and settings.blend == "latent" and settings.blend_calls == "first":
        raise SettingsError(
            f"--warm-start {warm} leaves out the first network call, whose latents --blend latent would blend",
            hint="use --blend-calls last or all, or --blend pixel",
        )


def resolve_temporal(settings: TimeSettings, *, seed: int) -> TemporalSpec:
    """What keeps the frames of a shot alike."""
    return TemporalSpec(
        noise=settings.noise,
        seed=seed,
        blend=settings.blend,
        blend_calls=settings.blend_calls,
        blend_strength=settings.blend_strength,
        deflicker=settings.deflicker,
        flow=settings.flow,
        dedupe=settings.dedupe,
        warm_start=settings.warm_start,
    )


def _provenance(worker: WorkerInfo) -> str:
    """For archives and their users: a picture that was made up in part must say so."""
    how = "enlarged by interpolation" if worker.model == "bicubic" else "restored by a neural network"
    name = JOINED.join(Path(part).name for part in worker.model.split(JOINED))
    return f"{how}: dossr-video {worker.version}, model {name}, weights {worker.weights[:12]}"


def _model(settings: ModelSettings, worker: WorkerInfo) -> ModelSpec:
    reads_text = worker.model not in BUILT_IN and worker.defaults is not None  # DoSSR
    prompt = DEFAULT_PROMPT if settings.prompt is None else settings.prompt
    negative_prompt = EMPTY_PROMPT if settings.negative_prompt is None else settings.negative_prompt
    return ModelSpec(
        name=worker.model,
        reason=_reason(settings, worker),
        weights=worker.weights,
        dtype=worker.dtype,
        engine=worker.engine,
        prompt=prompt if reads_text else None,
        negative_prompt=negative_prompt if reads_text else None,
        cfg_scale=settings.cfg_scale,
        scale=worker.scale,
        networks=worker.networks,
    )


def _reason(settings: ModelSettings, worker: WorkerInfo) -> str:
    if settings.model != "auto":
        return "named in the options"
    if worker.device == "cpu":
        return "auto, on a CPU, where large takes twenty to thirty times as long"
    return f"auto, on the accelerator {worker.device}"
