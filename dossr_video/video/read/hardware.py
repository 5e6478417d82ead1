"""Decoding by hardware: NVDEC, VideoToolbox, Direct3D, Quick Sync and VAAPI, as far as this FFmpeg has them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av
from av.codec.hwaccel import HWAccel

DEVICES = ("cuda", "videotoolbox", "d3d11va", "qsv", "vaapi")  # FFmpeg's names, in the order that auto tries


def decoding_device(wanted: str, codec: str) -> tuple[str | None, str]:
    """What decodes a codec here: a device of DEVICES, or None and the reason, one line.

    Args:
        wanted: A device; auto: the first that opens; off: none.
        codec: FFmpeg's name of the decoder.
    """
    if wanted == "off":
        return None, ""
    reasons = {}
    for device in DEVICES if wanted == "auto" else (wanted,):
        reason = missing(device, codec)
        if reason is None:
            return device, ""
        reasons[device] = reason
    if wanted == "auto":
        return None, f"no hardware here decodes {codec}"
    return None, f"{wanted} does not decode {codec} here ({reasons[wanted]})"


@lru_cache
def missing(device: str, codec: str) -> str | None:
    """Why a device does not decode a codec on this machine, one line; None: it does."""
    try:
        accelerator: Any = HWAccel(device, allow_software_fallback=False)
        accelerator.create(av.Codec(codec, "r"))
    except NotImplementedError:
        return "this FFmpeg has no such decoder"
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


def accelerator_for(device: str | None, codec: str) -> HWAccel | None:
    """For opening a file; None where the device is not on this machine: the CPU decodes the same pictures.

    What the device does not decode of a codec, 4:2:2 for example, the CPU decodes too.
    """
    return None if device is None or missing(device, codec) is not None else HWAccel(device)
