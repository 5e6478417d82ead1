"""What players show: the levels and profiles of H.264 and HEVC, and which encoding --compatible takes."""

from __future__ import annotations

from fractions import Fraction

from dossr_video.errors import SettingsError
from dossr_video.settings import TargetSettings
from dossr_video.video import pixels
from dossr_video.video.write.encoders import ENCODERS, EncoderSettings

# Level of H.264: macroblocks per second and per frame, at most (ISO 14496-10, table A-1).
H264_LEVELS = {
    "4.2": (522_240, 8_704), "5": (589_824, 22_080), "5.1": (983_040, 36_864), "5.2": (2_073_600, 36_864),
    "6": (4_177_920, 139_264), "6.1": (8_355_840, 139_264), "6.2": (16_711_680, 139_264),
}  # fmt: skip
PLAYED = ("4.2", "5", "5.1", "5.2")  # that most players show
FORCED = "5.2"  # told to x264 for frames above level 4.2, where slow presets take more reference frames than it holds
MACROBLOCK = 16  # pixels a side
HEVC_LARGEST = 35_651_584, 8_444  # luma samples of a frame, and of a side (ISO 23008-2, table A.8, level 6.2)
HEVC_FASTEST = 4_278_190_080  # luma samples per second
PIX_FMT = "yuv420p"


def compatible_encoding(settings: TargetSettings, *, width: int, height: int, rate: Fraction) -> EncoderSettings:
    """8-bit 4:2:0: H.264 within level 5.2, or HEVC Main where that is too large for it.

    Raises SettingsError where it is too large for HEVC, too.
    """
    level = h264_level(width, height, rate)
    if level not in PLAYED:
        samples, side = HEVC_LARGEST
        if width * height > samples or max(width, height) > side or width * height * rate > HEVC_FASTEST:
            raise SettingsError(
                f"--compatible: no player shows {width}x{height} at {float(rate):g} frames/s",
                hint="choose a smaller --size, or leave out --compatible",
            )
    encoder = ENCODERS[name := "libx264" if level in PLAYED else "libx265"]
    crf = encoder.crf if settings.crf is None else settings.crf
    forced = FORCED if level in PLAYED[1:] else None
    return EncoderSettings(name, PIX_FMT, crf, settings.speed or encoder.speed, forced)


def h264_level(width: int, height: int, rate: Fraction) -> str | None:
    """The lowest level, of 4.2 and above, that holds such frames; None: there is none."""
    across, down = (-(-side // MACROBLOCK) for side in (width, height))
    for level, (per_second, per_frame) in H264_LEVELS.items():
        fits = across * down <= per_frame and max(across, down) ** 2 <= 8 * per_frame
        if fits and across * down * rate <= per_second:
            return level
    return None


def refused_by_players(encoding: EncoderSettings, *, width: int, height: int, rate: Fraction) -> str | None:
    """What of an encoding many players do not show; None: nothing. Files for archives and editing are not meant."""
    shift, depth = pixels.chroma_shift(encoding.pix_fmt), pixels.bit_depth(encoding.pix_fmt)
    layout = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4"}.get(shift, "other")
    if pixels.is_grey(encoding.pix_fmt):
        layout = "4:2:0"
    found = []
    if encoding.encoder == "libx264":
        level = h264_level(width, height, rate)
        found += ["High 10 (10 bits)"] if depth > 8 else []
        found += [] if level in PLAYED else [f"level {level or 'above 6.2'}"]
    if encoding.encoder in ("libx264", "libx265", "libsvtav1", "libvpx-vp9"):
        found += [f"{layout} chroma"] if layout != "4:2:0" else []
        found += [f"{depth} bits"] if depth > 10 else []
    names = {"libx264": "H.264", "libx265": "HEVC", "libsvtav1": "AV1", "libvpx-vp9": "VP9"}
    return f"{names[encoding.encoder]} with {' and '.join(found)}" if found else None
