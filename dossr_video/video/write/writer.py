"""Encoding frames to a file with exact timestamps and colour tags."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import SettingsError, TargetError
from dossr_video.video import pixels
from dossr_video.video.files import DISK, open_output
from dossr_video.video.light import round_to_half
from dossr_video.video.tags import MATRICES, PRIMARIES, RANGES, TRANSFERS, code_point
from dossr_video.video.write.encoders import (
    ENCODERS,
    FRAME_PACKING,
    LARGE,
    encoder_named,
    is_hardware,
    software_for,
)
from dossr_video.video.write.kept import from_bytes
from dossr_video.video.write.spec import VideoSpec

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from torch import Tensor
    from typing_extensions import Self

UNORDERED = 2  # frames; so few are encoded in the order in which they are shown


def _instead(encoder: str) -> str:
    """What to do where an encoder does not open."""
    software = software_for(encoder)
    if is_hardware(encoder) and software != encoder:
        other = "leave out --encoder" if software is None else f"use --encoder {software}, which makes the same without"
        return f"it needs hardware and its driver: {other}; `dossr-video encoders` tells what opens here"
    return (
        "leave out --speed, --crf, --pix-fmt and --encoder-options, or give values that it knows: "
        f"`ffmpeg -h encoder={encoder}` lists them"
    )


class VideoWriter:
    """Encodes frames to one file without audio; on an error the file is removed."""

    def __init__(self, path: Path, spec: VideoSpec) -> None:
        """Raises SettingsError when the encoder refuses its options, TargetError when the file cannot be made."""
        self._path = path
        self.spec = spec
        self._color = spec.resolved_color
        encoder = encoder_named(spec.encoding.encoder)
        self._half = spec.encoding.encoder == "exr" and options_of(spec)["format"] == "half"
        self._container = open_output(path, encoder.muxer)
        self._stream: Any = self._container.add_stream(spec.encoding.encoder, rate=spec.frame_rate)
        self._written = 0
        self._unit = encoder.segment_unit(spec.time_base, spec.frame_rate)
        self._stream.time_base = self._unit
        if pixels.has_alpha(spec.encoding.pix_fmt):
            self._stream.metadata["alpha_mode"] = "1"
        context: Any = self._stream.codec_context
        configure(context, spec, self._unit)
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            self._discard()
            encoding = spec.encoding
            crf = None if encoding.crf is None else f"{encoding.crf:g}"
            ways = {"crf": crf, "preset": encoding.speed, **dict(encoding.options)}
            with_them = ", ".join(f"{name}={value}" for name, value in ways.items() if value is not None)
            raise SettingsError(
                f"{encoding.encoder} refuses {encoding.pix_fmt} {spec.width}x{spec.height}"
                f"{f' with {with_them}' if with_them else ''}: {getattr(error, 'strerror', error)}",
                hint=_instead(encoding.encoder),
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            packets = self._stream.encode(None)
            if self._written <= UNORDERED:  # the dts of x265 are arbitrary so early
                for packet in packets:
                    packet.dts = packet.pts
            self._container.mux(packets)
            self._container.close()
        except av.FFmpegError as failure:
            self._discard()
            raise self._failed(failure) from failure

    def write(
        self, picture: Tensor, pts: int, *, alpha: Tensor | None = None, duration: int | None = None
    ) -> av.VideoFrame:
        """Encode a frame (3, H, W) RGB in [0, 1] on any device, shown from `pts` for `duration` ticks.

        `pts` rises strictly; `duration` matters for the last frame only (None: one period of the frame rate).
        `alpha`: opacity (1, H, W) in [0, 1], kept where the pixel format has it. Raises TargetError on a full disk.

        Gives back the frame as it was encoded.
        """
        frame = pixels.from_rgb(picture, self.spec.encoding.pix_fmt, self._color, alpha=alpha)
        if self._half:
            round_to_half(frame)
        self._add(frame, pts, duration or round(1 / (self.spec.frame_rate * self.spec.time_base)) or 1)
        return frame

    def again(self, content: bytes) -> None:
        """Encode a frame that `kept.to_bytes` has made bytes of."""
        self._add(
            *from_bytes(content, width=self.spec.width, height=self.spec.height, pix_fmt=self.spec.encoding.pix_fmt)
        )

    def _add(self, frame: av.VideoFrame, pts: int, duration: int) -> None:
        frame.pts = pts
        frame.time_base = self._unit
        frame.duration = duration
        frame.color_primaries = code_point(PRIMARIES, self.spec.color.primaries)
        frame.color_trc = code_point(TRANSFERS, self.spec.color.transfer)
        frame.colorspace = code_point(MATRICES, self.spec.color.matrix)
        frame.color_range = code_point(RANGES, self._color.range)
        self._written += 1
        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise self._failed(error) from error

    def _failed(self, error: av.FFmpegError) -> TargetError:
        return TargetError(
            f"{self._path} cannot be written: {error.strerror}",
            hint="check the disk and its space, then give the same command again; finished segments are kept"
            if error.errno in DISK
            else "choose another --encoder or --pix-fmt, or report this",
        )

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError):  # the file goes away in any case
            self._container.close()
        self._path.unlink(missing_ok=True)


def configure(context: VideoCodecContext, spec: VideoSpec, time_base: Fraction) -> None:
    """Set size, colour tags and options of an encoder; `time_base`: seconds per tick of its frames."""
    encoder = encoder_named(spec.encoding.encoder)
    context.width, context.height = spec.width, spec.height
    context.pix_fmt = spec.encoding.pix_fmt
    context.time_base = time_base
    context.framerate = spec.frame_rate
    context.sample_aspect_ratio = spec.sample_aspect_ratio or Fraction(0, 1)
    context.thread_count = encoder.threads
    context.color_primaries = code_point(PRIMARIES, spec.color.primaries)
    context.color_trc = code_point(TRANSFERS, spec.color.transfer)
    context.colorspace = code_point(MATRICES, spec.color.matrix)
    context.color_range = code_point(RANGES, spec.color.range) if spec.color.range else 0
    context.flags |= 1 << 23  # AV_CODEC_FLAG_FRAME_DURATION: the last packet keeps its frame's duration
    if _is_heavy(spec):
        context.thread_count = 4
    context.options = {name: value for name, value in options_of(spec).items() if value}


def options_of(spec: VideoSpec) -> dict[str, str]:
    """All options of the encoder, by its own names."""
    encoder = encoder_named(spec.encoding.encoder)
    options = {**encoder.options(spec.encoding, spec.color, spec.hdr), **dict(spec.encoding.options)}
    if spec.encoding.encoder == "libx264":
        more = [f"frame-packing={FRAME_PACKING[spec.stereo]}"] if spec.stereo in FRAME_PACKING else []
        # Before what a person has asked for, which counts.
        before = ["rc-lookahead=10"] if _is_heavy(spec) else []
        options["x264-params"] = ":".join(filter(None, (*before, options["x264-params"], *more)))
    if spec.color.chroma_location and spec.encoding.encoder in ENCODERS:  # others refuse some
        options["chroma_sample_location"] = spec.color.chroma_location
    return options


def _is_heavy(spec: VideoSpec) -> bool:
    """Whether x264 is to take half the memory: 40 frames that it looks ahead at are 3 GB of 5120x2880.

    Files become no larger by it.
    """
    slow = spec.encoding.speed not in ("ultrafast", "superfast", "veryfast")  # these look ahead at 10 or none
    return spec.encoding.encoder == "libx264" and slow and spec.width * spec.height >= LARGE
