"""Pixel formats: which an encoder is given for a source, and what it cannot keep of it."""

from __future__ import annotations

import av

from dossr_video.errors import SettingsError
from dossr_video.video import pixels
from dossr_video.video.info import VideoInfo
from dossr_video.video.write.encoders import EncoderSettings, encoder_named

DEEP = 10  # bits of a picture that is worked on, at least


def choose_pix_fmt(encoder: str, source: str, *, width: int, height: int, pictures: bool = False) -> str:
    """The pixel format of the encoder that is closest to the source's: bit depth, chroma subsampling, alpha.

    For odd sides 4:4:4 is taken where subsampled formats need even sides. `pictures`: of files of their own, which are
    RGB or grey, and have more than 8 bits where the format can: they are made to be worked on.
    """

    def distance(candidate: str) -> tuple[bool | int | str, ...]:
        depth, wanted = pixels.bit_depth(candidate), pixels.bit_depth(source)
        wanted = max(wanted, DEEP) if pictures else wanted
        shift, wanted_shift = pixels.chroma_shift(candidate), pixels.chroma_shift(source)
        return (
            pixels.is_grey(candidate) and not pixels.is_grey(source),
            _odd(candidate, width=width, height=height) and not encoder_named(encoder).odd_sides,
            pixels.has_alpha(source) and not pixels.has_alpha(candidate),
            depth < wanted,
            sum(a > b for a, b in zip(shift, wanted_shift, strict=True)),
            abs(depth - wanted),
            sum(abs(a - b) for a, b in zip(shift, wanted_shift, strict=True)),
            pixels.is_rgb(candidate) != pixels.is_rgb(source),
            pixels.has_alpha(candidate) != pixels.has_alpha(source),
            pixels.is_packed(candidate),
            candidate,
        )

    formats = writable_formats(encoder)
    if pictures:
        formats = [name for name in formats if pixels.is_rgb(name) or pixels.is_grey(name)]
    return min(formats, key=distance)


def picture_losses(source: VideoInfo, encoding: EncoderSettings) -> tuple[str, ...]:
    """What an encoding cannot keep of the video stream, one line each."""
    lost = []
    if source.alpha and not pixels.has_alpha(encoding.pix_fmt):
        lost.append(
            f"transparency: {encoding.pix_fmt} has none; ffv1 (.mkv), prores_ks (.mov) and libvpx-vp9 (.webm) keep it"
        )
    if source.bit_depth > pixels.bit_depth(encoding.pix_fmt):
        lost.append(f"{source.bit_depth} bits: {encoding.encoder} writes {encoding.pix_fmt}")
    if (source.hdr.mastering or source.hdr.light_level) and not encoder_named(encoding.encoder).hdr:
        lost.append(f"mastering display and content light level: {encoding.encoder} does not write them; libx265 does")
    return tuple(lost)


def writable_formats(encoder: str) -> list[str]:
    """Pixel formats that both the encoder takes and `pixels.from_rgb` makes."""
    formats = [f.name for f in av.Codec(encoder, "w").video_formats or () if pixels.can_make(f.name)]
    if encoder_named(encoder).formats:
        return [name for name in formats if name in encoder_named(encoder).formats]
    if encoder == "libx265":  # its alpha is a second layer that few decoders support
        formats = [name for name in formats if not pixels.has_alpha(name)]
    return formats


def _odd(pix_fmt: str, *, width: int, height: int) -> bool:
    across, down = pixels.chroma_shift(pix_fmt)
    return bool(across and width % 2) or bool(down and height % 2)


def check_settings(settings: EncoderSettings, *, width: int, height: int) -> None:
    """SettingsError for a pixel format, quality or preset that the encoder does not take."""
    encoder = encoder_named(settings.encoder)
    formats = writable_formats(settings.encoder)
    if settings.pix_fmt not in formats:
        raise SettingsError(
            f"{settings.encoder} does not take the pixel format {settings.pix_fmt}",
            hint=f"one of {' '.join(formats[:12])}",
        )
    if not encoder.odd_sides and _odd(settings.pix_fmt, width=width, height=height):
        raise SettingsError(
            f"{settings.pix_fmt} needs even sides; the result is {width}x{height}",
            hint="choose --pix-fmt yuv444p, --encoder ffv1, or --width and --height that are even",
        )
    if settings.crf is not None and (encoder.crf is None or settings.crf > encoder.crf_limit):
        limit = f"crf goes from 0 to {encoder.crf_limit:g}" if encoder.crf is not None else "it has no crf"
        raise SettingsError(
            f"crf {settings.crf:g} does not suit {settings.encoder}: {limit}", hint="change or leave --crf"
        )
    if settings.speed is not None and encoder.speed is None:
        raise SettingsError(f"{settings.encoder} has no presets; got {settings.speed}", hint="leave out --speed")
