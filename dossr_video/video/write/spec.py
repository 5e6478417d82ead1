"""How the video stream of a result is encoded, and its tags; what is checked before anything is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import SettingsError, TargetError
from dossr_video.settings import TargetSettings
from dossr_video.video import pixels
from dossr_video.video.files import require_place
from dossr_video.video.info import HdrInfo, VideoInfo
from dossr_video.video.read.deinterlace import FieldSpan, clock_of
from dossr_video.video.sequence import is_numbered, is_part_of, name_of_number
from dossr_video.video.tags import ColorInfo
from dossr_video.video.write.containers import Container, container_of
from dossr_video.video.write.encoders import (
    Encoder,
    EncoderSettings,
    check_options,
    encoder_named,
    is_held,
    parsed_options,
)
from dossr_video.video.write.formats import check_settings, choose_pix_fmt
from dossr_video.video.write.players import compatible_encoding

MILLISECONDS = 1000  # per second
LONGEST_NAME = 255 - len(".dossr")  # bytes: what file systems take, less what the name of the job's folder adds


@dataclass(frozen=True)
class VideoSpec:
    """The video stream of a result: how every segment is encoded, and the tags of the joined file."""

    width: int  # pixels
    height: int  # pixels
    time_base: Fraction  # seconds per tick of every pts
    frame_rate: Fraction  # frames per second, nominal
    encoding: EncoderSettings
    color: ColorInfo  # the tags that are written
    hdr: HdrInfo
    sample_aspect_ratio: Fraction | None = None  # None: not written
    display_matrix: tuple[int, ...] | None = None  # None: shown as stored
    stereo: str | None = None  # how frames hold two views; None: they hold one

    @property
    def segment_suffix(self) -> str:
        """The extension of segment files, with its dot."""
        return encoder_named(self.encoding.encoder).suffix

    @property
    def resolved_color(self) -> ColorInfo:
        """The colour tags, those that are missing filled in as players do; pixels are converted with these."""
        if pixels.is_rgb(self.encoding.pix_fmt):
            return ColorInfo(transfer=self.color.transfer, matrix="gbr", range="pc")
        return self.color.resolved(width=self.width, height=self.height)


def make_spec(
    source: VideoInfo,
    fields: Sequence[FieldSpan],
    settings: TargetSettings,
    target: Path,
    *,
    width: int,
    height: int,
) -> VideoSpec:
    """How a result of width x height is written to `target`; SettingsError for options that do not fit together.

    Timestamps (as deinterlacing of `fields` leaves them), aspect, display matrix and HDR metadata are the source's.
    Options that are not given follow the source as far as the encoder supports it.
    """
    time_base, frame_rate = clock_of(fields, source)
    container = container_of(target)
    encoding = make_encoding(source, settings, container, width=width, height=height, rate=frame_rate)
    encoder = encoder_named(encoding.encoder)
    check_rate(frame_rate, container, encoder)
    color = target_color(source, encoding.pix_fmt, settings.colorspace, width=width, height=height)
    if container.beside is not None and pixels.is_grey(encoding.pix_fmt):
        color = replace(color, range="pc")
    return VideoSpec(
        width=width,
        height=height,
        time_base=time_base,
        frame_rate=frame_rate,
        encoding=encoding,
        color=color,
        hdr=source.hdr if encoder.hdr else HdrInfo(),
        sample_aspect_ratio=_aspect(source, width=width, height=height),
        display_matrix=source.display_matrix,
        stereo=source.stereo,
    )


def check_rate(frame_rate: Fraction, container: Container, encoder: Encoder) -> None:
    """SettingsError for a frame rate that timestamps in milliseconds cannot express."""
    if frame_rate > MILLISECONDS and {container.format, encoder.muxer} & {"matroska", "webm"}:
        raise SettingsError(
            f"{container.format} stores timestamps in milliseconds, too coarse for {float(frame_rate):.0f} frames/s",
            hint="name the target .mp4 and leave out --encoder",
        )


def make_encoding(
    source: VideoInfo, settings: TargetSettings, container: Container, *, width: int, height: int, rate: Fraction
) -> EncoderSettings:
    """The encoder and its options; SettingsError for options that do not fit together."""
    if settings.compatible:
        encoding = compatible_encoding(settings, width=width, height=height, rate=rate)
        check_encoder(encoding.encoder, container)
        check_settings(encoding, width=width, height=height)
        return encoding
    name = settings.encoder or container.encoders[0]
    check_encoder(name, container)
    encoding = EncoderSettings(
        encoder=name,
        pix_fmt=settings.pix_fmt
        or choose_pix_fmt(name, source.pix_fmt, width=width, height=height, pictures=container.beside is not None),
        crf=encoder_named(name).crf if settings.crf is None else settings.crf,
        speed=settings.speed or encoder_named(name).speed,
        options=(*container.options.items(), *parsed_options(settings.encoder_options)),
    )
    check_settings(encoding, width=width, height=height)
    return encoding


def check_encoder(name: str, container: Container) -> None:
    """SettingsError when the encoder is not known or the container does not hold what it makes."""
    if not is_held(name, container):
        raise SettingsError(
            f"{container.format} files do not hold what {name} makes; they hold {' '.join(container.encoders)}",
            hint="choose one of these encoders, or name the target .mkv",
        )


def target_color(source: VideoInfo, pix_fmt: str, colorspace: str, *, width: int, height: int) -> ColorInfo:
    """The source's tags, written out where players would assume another matrix for the larger size.

    `colorspace` "bt709" writes that matrix in place of the source's; primaries and transfer function stay.
    """
    color = source.color if colorspace == "source" else replace(source.color, matrix=colorspace)
    chroma = "left" if any(pixels.chroma_shift(pix_fmt)) else None
    if pixels.is_rgb(pix_fmt):
        return ColorInfo(color.primaries, color.transfer, "gbr", "pc", None)
    meant = color.resolved(width=source.width, height=source.height)
    assumed = ColorInfo().resolved(width=width, height=height)
    if pixels.is_rgb(source.pix_fmt):
        return ColorInfo(color.primaries, color.transfer, assumed.matrix, "tv", chroma)
    if colorspace != "source":
        return replace(color, chroma_location=chroma)
    keep = color.matrix is not None or meant.matrix == assumed.matrix
    return ColorInfo(color.primaries, color.transfer, color.matrix if keep else meant.matrix, color.range, chroma)


def _aspect(source: VideoInfo, *, width: int, height: int) -> Fraction | None:
    """The sample aspect ratio that keeps the display aspect ratio."""
    if source.sample_aspect_ratio is None:
        return None
    stretch = Fraction(source.width, width) / Fraction(source.height, height)
    return (source.sample_aspect_ratio * stretch).limit_denominator(1 << 15)


def check_target(target: Path, settings: TargetSettings, *, inputs: Sequence[Path] = (), force: bool = False) -> None:
    """Checks that need no reading: TargetError, or SettingsError for extension and encoder.

    None of the `inputs` is overwritten, whatever `force` says.
    """
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise TargetError(
            f"the name of {target} has {len(os.fsencode(target.name))} bytes; {LONGEST_NAME} are allowed",
            hint="choose a shorter name",
        )
    if target.is_dir():
        require_place(target, force=True)  # says so
    container = container_of(target)
    check_encoder(name := settings.encoder or container.encoders[0], container)
    check_options(name, settings.encoder_options)
    for path in inputs:
        if path.exists() and target.exists() and target.samefile(path):
            raise TargetError(f"{target} is an input itself", hint="give the result another name")
        if is_numbered(target) and (is_part_of(name_of_number(target, 0), path) or is_part_of(path, target)):
            raise TargetError(f"{target} names pictures of the input", hint="give the result another name or folder")
    require_place(target, force=force)
