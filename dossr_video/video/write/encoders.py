"""Encoders: options, pixel formats, defaults, and how HDR metadata is passed to each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
from av.codec.codec import Capabilities

from dossr_video.errors import SettingsError
from dossr_video.names import meant
from dossr_video.video import pixels
from dossr_video.video.info import HdrInfo
from dossr_video.video.tags import ColorInfo
from dossr_video.video.write.containers import Container, muxable

# SVT-AV1 writes its configuration to stderr, through no one's log; only its errors are wanted.
os.environ.setdefault("SVT_LOG", "1")

Options = dict[str, str]
LARGE = 2**23  # pixels of a result, of which a float32 picture takes 100 MB
HIGHEST_RATE = 300_000  # kbit/s of H.264's level 5.2, High profile


@dataclass(frozen=True)
class EncoderSettings:
    """Quality options of an encoder, all resolved, so that the same frames give the same bytes on any machine."""

    encoder: str  # FFmpeg's name
    pix_fmt: str
    crf: float | None = None  # None: the encoder is lossless or has no such scale
    speed: str | None = None  # the encoder's own preset; None: it has none
    level: str | None = None  # of H.264 that it is held to; None: as the pictures need
    options: tuple[tuple[str, str], ...] = ()  # further ones by the encoder's own names, which overrule the rest


@dataclass(frozen=True)
class Encoder:
    """Capabilities and defaults of one encoder.

    The thread count is fixed: x264 and x265 give other bytes with other frame threads.
    """

    suffix: str  # of a segment's file: mp4 and NUT keep times exactly; only Matroska holds the alpha of VP9
    muxer: str  # of that file
    fourcc: str | None  # in mp4 and mov, where players are particular
    crf: float | None  # default; None: no constant-quality scale
    crf_limit: float
    speed: str | None  # default; None: no presets
    options: Callable[[EncoderSettings, ColorInfo, HdrInfo], Options]
    odd_sides: bool = False  # whether it takes odd sides where chroma is shared across them
    least_bits: float = 0.01  # bits per pixel of the result below which hardly any picture gets
    hdr: bool = False  # whether it writes mastering display and content light level metadata
    threads: int = 8
    by_frame: bool = False  # whether it takes a time base of one frame only
    formats: tuple[str, ...] = ()  # pixel formats that are written; empty: all that it takes and `pixels` makes

    def segment_unit(self, time_base: Fraction, rate: Fraction) -> Fraction:
        """What a tick of `time_base` counts for in a segment file: milliseconds in Matroska, frames for some codecs."""
        if self.by_frame:
            return 1 / rate
        return Fraction(1, 1000) if self.muxer == "matroska" else time_base


def reproducible_x264() -> str:
    """The x264-params that make its bytes the same in every run; "" where nothing is needed.

    Its AVX-512 code gives others from run to run, as memory happens to be (measured: 52 of 150). Asked for AVX2, it
    would not check that the processor has it.
    """
    import torch  # takes a second: `probe` need not wait for it

    return "asm=AVX2" if torch.backends.cpu.get_cpu_capability() == "AVX512" else ""


def _x264(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    params = [asm] if (asm := reproducible_x264()) else []
    if settings.level is not None:
        params += [f"level={settings.level}", f"vbv-maxrate={HIGHEST_RATE}", f"vbv-bufsize={HIGHEST_RATE}"]
    params += _hdr_params(hdr, "mastering-display", "cll", scale=50000)
    return {"crf": f"{settings.crf:g}", "preset": str(settings.speed), "x264-params": ":".join(params)}


def _x265(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    params = ["log-level=none", "frame-threads=3", "repeat-headers=1"]
    if color.hdr:
        params.append("hdr10=1:hdr10-opt=1" if color.transfer == "smpte2084" else "hdr10-opt=1")
    params += _hdr_params(hdr, "master-display", "max-cll", scale=50000)
    return {"crf": f"{settings.crf:g}", "preset": str(settings.speed), "x265-params": ":".join(params)}


def _svtav1(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    params = _hdr_params(hdr, "mastering-display", "content-light", scale=1)
    return {"crf": f"{settings.crf:g}", "preset": str(settings.speed), "svtav1-params": ":".join(params)}


def _vp9(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    options = {
        "crf": f"{settings.crf:g}",
        "b": "0",
        "cpu-used": str(settings.speed),
        "tile-columns": "2",
        "row-mt": "0",
    }
    # Alternate reference frames cannot be combined with alpha.
    return {**options, "auto-alt-ref": "0"} if pixels.has_alpha(settings.pix_fmt) else options


def _ffv1(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    return {"level": "3", "slices": "16", "slicecrc": "1", "g": "1"}


def _prores(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    return {"profile": "hq" if settings.pix_fmt == "yuv422p10le" else "4444", "vendor": "apl0"}


def _dnxhr(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    """DNxHR, which is DNxHD for every size and rate."""
    profiles = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx"}
    return {"profile": profiles.get(settings.pix_fmt, "dnxhr_444")}


def _tiff(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    return {"compression_algo": "deflate"}


def _exr(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    return {"format": "half", "compression": "zip16"}


def _jpeg2000(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    """Lossless, by the reversible wavelet; a plain code stream, which MXF asks for."""
    return {"pred": "dwt53", "format": "j2k"}


def _no_options(settings: EncoderSettings, color: ColorInfo, hdr: HdrInfo) -> Options:
    return {}


def _of_pictures(
    options: Callable[[EncoderSettings, ColorInfo, HdrInfo], Options], *formats: str, least_bits: float = 0.01
) -> Encoder:
    """An encoder whose packets are whole picture files. QuickTime holds all of their kinds."""
    return Encoder(
        ".mov", "mov", None, None, 0.0, None, options, odd_sides=True, least_bits=least_bits, formats=formats
    )


ENCODERS: Mapping[str, Encoder] = {
    "libx264": Encoder(".mp4", "mp4", "avc1", 16.0, 51.0, "medium", _x264, hdr=True),
    "libx265": Encoder(".mp4", "mp4", "hvc1", 16.0, 51.0, "medium", _x265, hdr=True),
    "libsvtav1": Encoder(".mp4", "mp4", "av01", 20.0, 63.0, "6", _svtav1, hdr=True),
    "libvpx-vp9": Encoder(".mkv", "matroska", "vp09", 20.0, 63.0, "2", _vp9, odd_sides=True),
    "ffv1": Encoder(".nut", "nut", None, None, 0.0, None, _ffv1, odd_sides=True, least_bits=2.0),
    "prores_ks": Encoder(".mov", "mov", None, None, 0.0, None, _prores, least_bits=1.0),
    "dnxhd": Encoder(".mov", "mov", None, None, 0.0, None, _dnxhr, least_bits=1.0),
    "v210": Encoder(".mov", "mov", None, None, 0.0, None, _no_options, least_bits=20.0),
    "jpeg2000": _of_pictures(_jpeg2000),
    "png": _of_pictures(_no_options, "rgb48be", "rgba64be", "gray16be", "rgb24", "rgba", "gray"),
    "tiff": _of_pictures(_tiff, "rgb48le", "rgba64le", "gray16le", "rgb24", "rgba", "gray"),
    # Big-endian, as most programs write it.
    "dpx": _of_pictures(
        _no_options,
        *("gbrp10be", "gbrp12be", "rgb48be", "rgba64be", "gray16be", "rgb24", "rgba", "gray"),
        least_bits=24.0,
    ),
    "exr": _of_pictures(_exr, "gbrpf32le", "gbrapf32le", "grayf32le"),
}


def _hdr_params(hdr: HdrInfo, mastering: str, light_level: str, *, scale: int) -> list[str]:
    """Static HDR metadata as an encoder's parameters of these names."""
    params = []
    if hdr.mastering is not None:
        params.append(f"{mastering}={_mastering(hdr.mastering, scale=scale)}")
    if hdr.light_level is not None:
        params.append(f"{light_level}={hdr.light_level[0]},{hdr.light_level[1]}")
    return params


# Of x264, by what `probe` finds: the frame packing arrangement of ISO 14496-10 D.2.26, left eye first.
FRAME_PACKING: Mapping[str | None, int] = {
    "checkerboard": 0, "columns": 1, "lines": 2, "side by side": 3, "top and bottom": 4, "frame sequence": 5,
}  # fmt: skip


def _mastering(values: tuple[object, ...], *, scale: int) -> str:
    """Primaries and luminance as x264, x265 (in units of 1/50000 and 1/10000) and SVT-AV1 (in units of 1) read them."""
    rx, ry, gx, gy, bx, by, wx, wy, low, high = (float(v) for v in values)  # type: ignore[arg-type]
    light = 10000 if scale > 1 else 1

    def number(value: float, unit: int) -> str:
        return str(round(value * unit)) if unit > 1 else f"{value:.4f}"

    points = "".join(
        f"{name}({number(x, scale)},{number(y, scale)})"
        for name, x, y in (("G", gx, gy), ("B", bx, by), ("R", rx, ry), ("WP", wx, wy))
    )
    return f"{points}L({number(high, light)},{number(low, light)})"


_BY_FRAME = frozenset({"dvvideo", "mpeg1video", "mpeg2video"})
# Containers that hold segments of other encoders, the most exact first.
_HOLDERS = (("mp4", ".mp4"), ("mov", ".mov"), ("nut", ".nut"), ("matroska", ".mkv"))


def no_encoder(name: str) -> SettingsError:
    return SettingsError(
        f"this FFmpeg has no video encoder {name!r}",
        hint=f"{meant(name, encoder_names(), most=3)}`dossr-video encoders` lists all that it has",
    )


@lru_cache
def encoder_named(name: str) -> Encoder:
    """An encoder of the table, or any other that this FFmpeg has; SettingsError where there is none.

    Of those outside the table nothing is known but what FFmpeg says: they have neither --crf nor --speed here.
    """
    if name in ENCODERS and name in encoder_names():
        return ENCODERS[name]
    if name not in encoder_names():
        raise no_encoder(name)
    codec = av.Codec(name, "w").canonical_name
    for muxer, suffix in _HOLDERS:
        if codec in muxable(muxer):
            return Encoder(suffix, muxer, None, None, 0.0, None, _no_options, by_frame=codec in _BY_FRAME)
    raise SettingsError(f"no container that is written here holds {codec}", hint="choose another encoder")


@lru_cache
def encoder_names() -> tuple[str, ...]:
    """Of all video encoders that this FFmpeg has."""
    return tuple(name for name in sorted(av.codecs_available) if _encodes_video(name))


def is_hardware(name: str) -> bool:
    """Whether an encoder needs hardware, or may."""
    return bool(av.Codec(name, "w").capabilities & (Capabilities.hardware | Capabilities.hybrid))


def software_for(name: str) -> str | None:
    """The encoder of the table that makes the same as one that needs hardware; None: there is none."""
    codec = av.Codec(name, "w").canonical_name
    known = (other for other in ENCODERS if other in encoder_names())
    return next((other for other in known if av.Codec(other, "w").canonical_name == codec), None)


def is_held(name: str, container: Container) -> bool:
    """Whether a container holds what an encoder makes: of those in the table by its list, else as FFmpeg says.

    SettingsError where there is no such encoder.
    """
    encoder_named(name)
    if name in ENCODERS or name in container.encoders:
        return name in container.encoders
    return container.beside is None and av.Codec(name, "w").canonical_name in muxable(container.format)


def _encodes_video(name: str) -> bool:
    try:
        codec = av.Codec(name, "w")
        return codec.type == "video" and codec.name == name  # a codec's name stands for one of its encoders
    except ValueError:  # it decodes only
        return False


def parsed_options(text: str | None) -> tuple[tuple[str, str], ...]:
    """`preset=slow,tune=film` as pairs; SettingsError where a part is none."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    for name, sign, value in pairs:
        if not (name.strip() and sign and value.strip()):
            raise SettingsError(
                f"--encoder-options {text!r}: {name!r} must be NAME=VALUE",
                hint="for example profile=lt,bits_per_mb=400",
            )
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def check_options(encoder: str, text: str | None) -> None:
    """SettingsError for options that the encoder does not have. Their values are tried before the work."""
    options: Any = getattr(av.CodecContext.create(encoder, "w"), "supported_options", None)  # PyAV 18 and later
    if options is None:
        return
    known = list(dict.fromkeys(option.name for option in (*options.private, *options.generic)))
    for name, _ in parsed_options(text):
        if name not in known:
            hint = f"{meant(name, known, most=3)}`ffmpeg -h encoder={encoder}` lists them"
            raise SettingsError(f"{encoder} has no option {name!r}", hint=hint)
