"""What this FFmpeg encodes with: each encoder's pixel formats and containers, and whether hardware is there for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from dossr_video.errors import SettingsError
from dossr_video.video.write.containers import CONTAINERS, SEQUENCES
from dossr_video.video.write.encoders import ENCODERS, encoder_names, is_hardware, is_held, no_encoder
from dossr_video.video.write.formats import writable_formats

SIDES = 640, 480  # pixels of the frames that hardware is asked for: some takes no small ones


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder that results can be written with."""

    name: str
    about: str
    formats: tuple[str, ...]  # pixel formats that are written
    containers: tuple[str, ...]  # extensions of results
    known: bool  # whether it has settings of its own here: --crf and --speed where it has such scales
    hardware: bool
    missing: str | None  # why hardware does not open here; None: it does, or none is needed


@dataclass(frozen=True)
class OptionInfo:
    """An option for --encoder-options."""

    name: str
    about: str
    default: str | None
    choices: tuple[str, ...]


def available() -> list[EncoderInfo]:
    """All encoders that results can be written with, those with settings of their own first."""
    found = [info for name in encoder_names() if (info := _info(name)) is not None]
    order = list(ENCODERS)
    return sorted(found, key=lambda info: (order.index(info.name) if info.known else len(order), info.name))


def options_of_encoder(name: str) -> list[OptionInfo]:
    """The encoder's own options; none where PyAV is too old to tell. SettingsError where there is no such encoder."""
    if name not in encoder_names():
        raise no_encoder(name)
    options: Any = getattr(av.CodecContext.create(name, "w"), "supported_options", None)
    return [
        OptionInfo(option.name, option.help or "", option.default, tuple(choice.name for choice in option.choices))
        for option in (() if options is None else options.private)
    ]


def _info(name: str) -> EncoderInfo | None:
    """None for one that no result can be written with."""
    try:
        formats, containers = tuple(writable_formats(name)), tuple(_containers(name))
    except SettingsError:  # no container holds what it makes
        return None
    if not (formats and containers):
        return None
    hardware, about = is_hardware(name), av.Codec(name, "w").long_name
    missing = _missing(name, formats[0]) if hardware else None
    return EncoderInfo(name, about, formats, containers, name in ENCODERS, hardware, missing)


def _containers(name: str) -> Iterator[str]:
    for suffix, container in (*CONTAINERS.items(), *SEQUENCES.items()):
        if is_held(name, container):
            yield suffix


def _missing(name: str, pix_fmt: str) -> str | None:
    """Why it does not open; None: it does."""
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = *SIDES, pix_fmt
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None
