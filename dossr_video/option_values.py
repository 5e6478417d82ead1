"""Values of options that are more than a number or a word of a list: how people write them, and the rule of each."""

from __future__ import annotations

import math
from fractions import Fraction
from os import PathLike, fsdecode
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator


def duration_text(seconds: float) -> str:
    """h:mm:ss"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _device_name(value: str) -> str:
    kind, _, index = value.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or (index and not index.isdigit()):
        raise ValueError("must be auto, cpu, mps, xpu, cuda or cuda:N")
    return value


def _seconds(value: object) -> object:
    """Seconds of `90`, `1:30` or `0:01:30.5`."""
    if not isinstance(value, str):
        return value
    total, parts = 0.0, value.split(":")
    for number, part in enumerate(parts):
        try:
            amount = float(part)
        except ValueError:
            amount = math.nan
        if len(parts) > 3 or not 0 <= amount < math.inf or (number and amount >= 60):
            raise ValueError("must be seconds or h:mm:ss, such as 90, 1:30 or 0:01:30.5")
        total = 60 * total + amount
    return total


NTSC_COUNTS = (24000, 30000, 48000, 60000, 120000)  # over 1001: frames per second


def exact_rate(value: Fraction) -> Fraction:
    """The frame rate that a decimal number means: 23.976 is 24000/1001."""
    ntsc = (Fraction(count, 1001) for count in NTSC_COUNTS)
    meant = next((rate for rate in ntsc if abs(rate - value) < Fraction(2, 1000)), None)
    return meant or value.limit_denominator(1001)


def _rate(value: object) -> object:
    """A frame rate as a fraction in text; 23.976 is 24000/1001."""
    if value is None:
        return None
    try:
        rate = exact_rate(Fraction(str(value)))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= 1000:
        raise ValueError("must be 1 to 1000 frames per second, such as 24, 23.976 or 24000/1001")
    return str(rate)


def _share(first: str, second: str, *, least: float) -> AfterValidator:
    """One of two words, or a number from `least` to 1."""

    def check(value: str) -> str:
        try:
            amount = 1.0 if value in (first, second) else float(value)
        except ValueError:
            amount = -1.0
        if not least <= amount <= 1:
            raise ValueError(f"must be {first}, {second} or a number from {least:g} to 1")
        return value

    return AfterValidator(check)


def _files(value: object) -> object:
    """One file, or several."""
    given = [value] if isinstance(value, (str, PathLike)) else value
    return tuple(map(fsdecode, given)) if isinstance(given, (list, tuple)) else given


DeviceName = Annotated[str, AfterValidator(_device_name)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
# Text, whatever it was given as.
FrameRate = Annotated[str | float | None, BeforeValidator(_rate)]
DustAmount = Annotated[str | float, BeforeValidator(str), _share("auto", "off", least=0)]
GrainAmount = Annotated[str | float, BeforeValidator(str), _share("keep", "remove", least=0)]
NativeRatio = Annotated[str | float, BeforeValidator(str), _share("auto", "off", least=0.5)]
Files = Annotated[tuple[str, ...], BeforeValidator(_files)]
