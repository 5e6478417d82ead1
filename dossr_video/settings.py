"""Every option of a run, its default and its limits: one table for Python, preset files, command line and help.

None means: let the model, the source or the machine decide. Options stand in groups; the command line shows each
group under its docstring.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from dossr_video.errors import SettingsError
from dossr_video.names import meant
from dossr_video.option_values import DeviceName, DustAmount, Files, FrameRate, GrainAmount, NativeRatio, Seconds

MODELS = ("auto", "compact", "large", "bicubic")
"""Names of the models in the package."""


SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "1440p": (2560, 1440), "4k": (3840, 2160), "8k": (7680, 4320)}
"""Width and height of the frames that `size` names."""


class ModelSettings(BaseModel):
    """Model and sampler"""

    model: str = Field(
        default="auto",
        description="auto (large on an accelerator, compact on a CPU), compact, large, bicubic, or a file: a DoSSR "
        "checkpoint, a folder made by `convert`, or another super-resolution network "
        "(.pth, .safetensors, .onnx); a.pth+b.pth: one after the other",
    )
    steps: int | None = Field(default=None, ge=1, le=499, description="network calls; default: the model's own")
    order: Literal[1, 2, 3] | None = Field(default=None, description="order of the solver; default: the model's own")
    corrected_third_order: bool = Field(
        default=False, description="a corrected third order in place of the published one"
    )
    final: Literal["landing", "x0"] | None = Field(
        default=None,
        description="return the solver's last point, as published, or the last estimate of the clean latents",
    )
    posterior: Literal["mean", "sample"] = Field(
        default="mean", description="mean or a sample of the encoder's posterior"
    )
    cfg_scale: float = Field(default=1.0, ge=0.0, le=20.0, description="guidance by the prompts; 1: none")
    prompt: str | None = Field(default=None, description="text prompt; default: the one DoSSR was trained with")
    negative_prompt: str | None = Field(default=None, description="text prompt to move away from; default: empty")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="start value of the random noise; the same seed gives the same result"
    )
    color_fix: Literal["none", "adain", "wavelet"] | None = Field(
        default=None, description="how the colours of the restorer output are kept; default: the model's own"
    )


class TimeSettings(BaseModel):
    """Consistency in time"""

    noise: Literal["shared", "warped", "independent"] = Field(
        default="shared", description="one draw per shot, one warped along the motion, or one per frame"
    )
    blend: Literal["latent", "pixel", "off"] = Field(
        default="pixel", description="blend each frame with the one before it"
    )
    blend_calls: Literal["first", "last", "all"] = Field(
        default="first", description="network calls whose latents are blended"
    )
    blend_strength: float = Field(
        default=0.7, ge=0.0, le=1.0, description="weight of the frame before, where the flow is reliable"
    )
    warm_start: int | None = Field(
        default=None,
        ge=1,
        le=498,
        description="network calls for each frame but the first of a shot. What the other calls add is taken from the "
        "frame before, moved along the motion. 3 of 5 calls look like 5; default: as many as --steps",
    )
    deflicker: bool = Field(default=False, description="even out flickering exposure; fades and changes of light stay")
    flow: str = Field(
        default="fine",
        description="optical flow: ultrafast, fast, medium or fine, or a file with weights of torchvision's RAFT",
    )
    dedupe: bool = Field(
        default=False, description="also skip frames that differ from the one before by codec noise only"
    )


class RestorationSettings(BaseModel):
    """Restoration"""

    dust: DustAmount = Field(
        default="auto",
        description="mend dust of single frames and scratches that stand over many: auto measures how dirty a file is "
        "and mends it where that is worth it, a number is the sensitivity; 0.5: a good start",
    )
    native: NativeRatio = Field(
        default="auto",
        description="restore a soft source at the size that its detail fills: auto measures it, a number is the share "
        "of its width and height; the size of the result stays",
    )
    grain: GrainAmount = Field(
        default="remove",
        description="keep: put the source's grain back after the model, with its level, size and dependence on "
        "brightness; a number: so much of it; remove: as the model leaves it",
    )
    strength: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="how much of the model's invented detail is used; 0: the restorer's output, or plain enlargement",
    )


class MachineSettings(BaseModel):
    """The machine"""

    device: DeviceName = Field(default="auto", description="auto, cuda, cuda:N, mps, xpu or cpu")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="what the networks compute in"
    )
    engine: Literal["auto", "torch", "ncnn"] = Field(
        default="auto", description="what runs the networks: auto takes ncnn for compact and large on a CPU"
    )
    chunk: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="frames sampled at once; default: by their size; on a CPU the result stays the same",
    )
    tile: int | None = Field(default=None, ge=64, description="input pixels a side; default: whole frames")
    offload: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="DoSSR on a GPU: keep idle parts of the model in main memory; auto: where not all of them fit; the "
        "result stays the same",
    )
    threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads of the model; default: all cores")


class SourceSettings(BaseModel):
    """What is read"""

    start: Seconds = Field(
        default=0.0, ge=0.0, lt=math.inf, description="where to begin, seconds or h:mm:ss from the first picture on"
    )
    end: Seconds | None = Field(default=None, gt=0.0, lt=math.inf, description="where to end, seconds or h:mm:ss")
    duration: Seconds | None = Field(
        default=None, gt=0.0, lt=math.inf, description="how much to process, in place of --end"
    )
    fps: FrameRate = Field(
        default=None,
        description="frame rate of a picture sequence: 24, 23.976 or 24000/1001; default: as its DPX headers say",
    )
    audio: Files = Field(default=(), description="a file whose sound is added as tracks; may be given several times")
    subtitles: Files = Field(
        default=(), description="a file whose subtitles are added as tracks; may be given several times"
    )
    light: Literal["srgb", "pq"] = Field(
        default="srgb",
        description="how scene-linear light of OpenEXR is coded for the model: srgb clips what is brighter than white, "
        "pq keeps up to 49 times white",
    )
    video: int | None = Field(
        default=None, ge=0, description="number of the video stream, as `probe` tells it; default: the first that moves"
    )
    program: int | None = Field(
        default=None,
        ge=1,
        description="number of the program of a transport stream; default: the one of that video stream",
    )
    max_pixels: int = Field(default=8192 * 8192, ge=1, le=1 << 40, description="larger input frames are refused")
    reader: Literal["pyav", "decord", "torchcodec"] = Field(
        default="pyav",
        description="decord: random access, with coarser chroma; torchcodec: the same, on an NVIDIA GPU where there is "
        "one; both are refused where they lose frames or timestamps",
    )
    hwaccel: Literal["off", "auto", "cuda", "videotoolbox", "d3d11va", "qsv", "vaapi"] = Field(
        default="off",
        description="decode by hardware, as ffmpeg's -hwaccel; auto takes the first that is there; where none is, "
        "the CPU decodes and a notice says so",
    )
    deinterlace: Literal["auto", "off", "frame", "field"] = Field(
        default="auto",
        description="auto analyses the content; one frame per frame, or per field, which keeps all motion",
    )
    cadence: Literal["auto", "off", "film"] = Field(
        default="auto", description="inverse telecine (3:2 pulldown): 24 frames per second"
    )

    @property
    def frame_rate(self) -> Fraction | None:
        """`fps` as a number."""
        return None if self.fps is None else Fraction(self.fps)

    @property
    def length(self) -> float | None:
        """Seconds to process, by `duration` or `end`; None: to the end of the file."""
        return self.duration if self.end is None else round(self.end - self.start, 9)

    @property
    def track_files(self) -> Files:
        """The files whose tracks are added."""
        return (*self.audio, *self.subtitles)

    @model_validator(mode="after")
    def _one_end(self) -> SourceSettings:
        if self.end is not None and self.duration is not None:
            raise ValueError("--end and --duration were both given; leave one away")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"--end {self.end:g} must be after --start {self.start:g}")
        return self

    @model_validator(mode="after")
    def _one_decoder(self) -> SourceSettings:
        if self.hwaccel != "off" and self.reader != "pyav":
            raise ValueError(f"--hwaccel and --reader {self.reader} were both given; leave one away")
        return self


class TargetSettings(BaseModel):
    """What is written"""

    scale: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="output side / input side; default: the model's own, of those in the package 4",
    )
    size: Literal["720p", "1080p", "1440p", "4k", "8k"] | None = Field(
        default=None, description="as large as fits into such a frame, in place of --scale"
    )
    width: int | None = Field(
        default=None, ge=16, le=32768, description="pixels; with one side alone the aspect is kept"
    )
    height: int | None = Field(default=None, ge=16, le=32768, description="pixels")
    encoder: str | None = Field(
        default=None,
        description="any that `dossr-video encoders` lists; default: libx264, of pictures by their extension",
    )
    encoder_options: str | None = Field(
        default=None,
        description="the encoder's own options, such as profile=lt,bits_per_mb=400; they overrule all others",
    )
    crf: float | None = Field(
        default=None, ge=0.0, le=63.0, description="constant quality; default: 16, of libsvtav1 20"
    )
    speed: str | None = Field(default=None, description="the encoder's own preset; default: medium, of libsvtav1 6")
    colorspace: Literal["source", "bt709"] = Field(
        default="source", description="matrix of the result; bt709 for HD players"
    )
    square_pixels: bool = Field(
        default=False, description="resample to square pixels; default: the aspect is signalled in metadata"
    )
    strict: bool = Field(
        default=False, description="refuse to begin when the target cannot keep everything of the source"
    )
    proof: Literal["refuse", "warn"] = Field(
        default="refuse", description="what becomes of a result that fails its proof"
    )
    qc: bool = Field(
        default=False,
        description="measure every shot against its source; one that flickers, stands still, is black or another in "
        "colour, light or content is done again with more consistency or less strength, at most twice",
    )
    provenance: bool = Field(default=True, description="note in the metadata which program and model made the picture")
    pix_fmt: str | None = Field(default=None, description="default: the source's as far as the encoder supports it")
    start_number: int | None = Field(
        default=None,
        ge=0,
        lt=10**9,
        description="number of the first picture of a result such as out_%06d.png; default: as the source's pictures "
        "are numbered, else 1",
    )
    compatible: bool = Field(
        default=False,
        description="8-bit 4:2:0, as most players show: H.264 within level 5.2, or HEVC where that is too small",
    )

    @model_validator(mode="after")
    def _one_size(self) -> TargetSettings:
        if self.size is not None and (self.width is not None or self.height is not None):
            raise ValueError("--size and --width or --height were both given; leave one away")
        return self

    @model_validator(mode="after")
    def _one_encoding(self) -> TargetSettings:
        if self.compatible and (self.encoder is not None or self.pix_fmt is not None):
            other = "--pix-fmt" if self.encoder is None else "--encoder"
            raise ValueError(f"--compatible chooses the encoder and the pixel format; leave {other} away")
        return self


LONGEST_VALUE = 60  # characters of a value in a message

NOT_IN_RESULT = frozenset({"chunk", "device", "threads", "offload", "max_pixels", "proof"})
"""Options that the result does not depend on."""


class Settings(ModelSettings, TimeSettings, RestorationSettings, MachineSettings, SourceSettings, TargetSettings):
    """What decides how a result looks, and so what a resumed run must share with the run before.

    Raises SettingsError, which names the first option that does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Settings from plain values. Raises SettingsError."""
        if not isinstance(options, Mapping):
            raise SettingsError(
                f"settings of type {type(options).__name__} must be Settings, or a mapping of options by their names",
                hint='for example {"crf": 18}',
            )
        return cls(**{str(option): value for option, value in options.items()})  # YAML takes `1: 2` for a number

    @model_validator(mode="wrap")
    @classmethod
    def _plain_error(cls, options: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        try:
            return handler(options)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:  # of several options together
                message = first["msg"].removeprefix("Value error, ")
                raise SettingsError(message, hint="`dossr-video upscale --help-all` explains every option") from error
            option = "--" + str(first["loc"][0]).replace("_", "-")
            reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            near = ""
            message = f"{option} {_shortened(first['input'])} must be {reason.removeprefix('must be ')}"
            if first["type"] == "extra_forbidden":
                message, near = f"{option} is not an option", meant(str(first["loc"][0]), cls.model_fields)
            raise SettingsError(
                message, hint=f"{near}`dossr-video upscale --help-all` lists the options and their limits"
            ) from error

    def digest(self) -> str:
        """sha256 of the options that the result depends on."""
        lasting = self.model_dump(mode="json", exclude=set(NOT_IN_RESULT))
        return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()


def _shortened(value: object) -> str:
    """A value for a message; lists are not followed into each other."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


GROUPS: tuple[type[BaseModel], ...] = (
    ModelSettings,
    TimeSettings,
    RestorationSettings,
    MachineSettings,
    SourceSettings,
    TargetSettings,
)
