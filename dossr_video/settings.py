"""Every option of a run, its default and its limits. None means: let the model, the source or the machine decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dossr_video.errors import SettingsError

Encoder = Literal["libx264", "libx265", "libsvtav1", "ffv1", "prores_ks"]


def _device_name(value: str) -> str:
    kind, _, index = value.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or (index and not index.isdigit()):
        raise ValueError("must be auto, cpu, mps, xpu, cuda or cuda:N")
    return value


class Settings(BaseModel):
    """What decides how a result looks, and so what a resumed run must share with the run before.

    Raises SettingsError through `Settings.of`; pydantic.ValidationError through the plain constructor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Model and sampler
    model: str = "compact"  # a name from models.registry, a checkpoint file or a folder made by `convert`
    steps: int | None = Field(None, ge=1, le=500)  # network calls
    order: Literal[1, 2, 3] | None = None  # of the solver
    corrected_third_order: bool = False  # our third order, exact for x0 quadratic in lambda, in place of the published
    final: Literal["landing", "x0"] | None = None  # return the point at entry 0, or x0 of the last call
    posterior: Literal["mean", "sample"] = "mean"  # of the first-stage encoder, for xhat0
    cfg_scale: float = Field(1.0, ge=0.0, le=20.0)  # 1: no guidance
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int = Field(0, ge=0, lt=2**63)
    color_fix: Literal["none", "adain", "wavelet"] | None = None

    # Time
    noise: Literal["shared", "warped", "independent"] = "shared"
    blend: Literal["latent", "pixel", "off"] = "off"
    blend_strength: float = Field(0.5, ge=0.0, le=1.0)
    dedupe: bool = True  # exact repeats are computed once

    # The machine
    device: Annotated[str, AfterValidator(_device_name)] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chunk: int = Field(8, ge=1, le=4096)  # frames sampled at once; the result does not depend on it
    tile: int | None = Field(None, ge=64)  # input pixels per side; None: whole frames
    threads: int | None = Field(None, ge=1, le=1024)  # CPU threads of the model and the encoder; None: all cores

    # What is read
    start: float = Field(0.0, ge=0.0)  # seconds from the first frame
    duration: float | None = Field(None, gt=0.0)  # seconds
    max_pixels: int = Field(8192 * 8192, ge=1)  # per input frame; larger files are refused

    # What is written
    scale: Literal[2, 3, 4] = 4
    width: int | None = Field(None, ge=2, le=32768)  # pixels; with height alone, the aspect is kept
    height: int | None = Field(None, ge=2, le=32768)
    encoder: Encoder | None = None  # None: libx264
    crf: float | None = Field(None, ge=0.0, le=63.0)
    speed: str | None = None  # the encoder's own preset name; None: medium
    pix_fmt: str | None = None  # None: the source's bit depth and chroma layout as far as the encoder holds them

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        if self.cfg_scale != 1.0 and self.order is None and self.model in ("compact", "bicubic"):
            raise ValueError(f"cfg_scale {self.cfg_scale} needs a model with a text prompt; leave it at 1 for {self.model}")
        return self

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Settings from plain values; SettingsError names the first option that does not fit."""
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the options"
            reason = first["msg"].removeprefix("Value error, ")
            raise SettingsError(
                f"{option} {first['input']!r}: {reason[0].lower()}{reason[1:]}" if first["loc"] else reason,
                hint="run `dossr-video --help` for the options and their limits",
            ) from error
