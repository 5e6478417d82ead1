"""What is done to the frames before and after the model, decided once."""

from __future__ import annotations

from dataclasses import dataclass

from dossr_video.restoration.detail import native_ratio
from dossr_video.restoration.dirt import DustMeasure
from dossr_video.restoration.grain_profile import GrainProfile
from dossr_video.settings import RestorationSettings

DUST = 0.5  # the sensitivity that auto takes for a dirty film


@dataclass(frozen=True)
class RestorationSpec:
    """What is done to the frames before and after the model; the default does nothing."""

    dust: float = 0.0  # sensitivity; 0: none is looked for
    native: float = 1.0  # share of the source's grid, across and down, that the model gets
    strength: float = 1.0  # of what the model invents
    grain: float = 0.0  # of the source's grain that is put back
    grain_profile: GrainProfile | None = None  # the source's; None: none is put back


def resolve_restoration(
    settings: RestorationSettings,
    *,
    detail: float | None,
    grain: GrainProfile | None,
    dust: DustMeasure | None,
    model_scale: int,
) -> RestorationSpec:
    """What the settings mean for one source.

    Args:
        settings: What the user asked for.
        detail: What `measure_detail` found in the source.
        grain: What `measure_grain` found in it.
        dust: What `measure_dust` found in it; None: nothing can be said, as of interlaced frames.
        model_scale: Output side / input side of the model: what it makes must not be smaller than the source.
    """
    if settings.dust == "auto":
        sensitivity = DUST if dust is not None and dust.dirty else 0.0
    else:
        sensitivity = 0.0 if settings.dust == "off" else float(settings.dust)
    if settings.native == "auto":
        native = max(native_ratio(detail), 1 / model_scale)
    else:
        native = 1.0 if settings.native == "off" else float(settings.native)
    amount = {"keep": 1.0, "remove": 0.0}.get(str(settings.grain))
    amount = float(settings.grain) if amount is None else amount
    return RestorationSpec(
        dust=sensitivity,
        native=round(native, 2),
        strength=settings.strength,
        grain=amount,
        grain_profile=grain if amount > 0 else None,
    )
