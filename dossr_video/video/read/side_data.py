"""Side data: what decoded frames and packets carry beside their samples, by FFmpeg's names."""

from __future__ import annotations

import ctypes
import gc
import struct
from collections.abc import Mapping
from typing import Any

from av.dictionary import Dictionary
from av.sidedata.sidedata import Type

from dossr_video.video.light import is_brighter, is_light

BRIGHTER = "BRIGHTER"  # light above white, which is clipped
# What PyAV 18.1 has no name for (AVFrameSideDataType of FFmpeg 8).
UNNAMED = {28: "LCEVC", 29: "VIEW_ID", 30: "3D_REFERENCE_DISPLAYS", 31: "EXIF"}
# UUIDs (ISO 14496-10 D.2.7) of the text that x264 and x265 write about themselves.
ENCODER_UUIDS = frozenset(
    {bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"), bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e")}
)
# AVStereo3DType: how the views of both eyes are packed.
STEREO = {
    1: "side by side", 2: "top and bottom", 3: "frame sequence", 4: "checkerboard", 5: "side by side, quincunx",
    6: "lines", 7: "columns",
}  # fmt: skip
# Tags of every TIFF file, which tell how its samples lie; orientation, resolution and the program that wrote it too.
LAYOUT = frozenset({254, 255, 256, 257, 258, 259, 262, 266, *range(273, 275), *range(277, 285), 292, 293, 296, 297, 305,
                    317, 320, *range(322, 326), 338, 339, 340, 341, 347, *range(529, 533)})  # fmt: skip
RIGHT_FIRST = ", right eye first"


def _named(cls: type[Type], value: int) -> Type:
    kind = object.__new__(cls)
    kind._name_ = UNNAMED.get(value, f"number {value}")
    kind._value_ = value  # type: ignore[assignment]
    return kind


# Without it PyAV gives none of a frame's side data where it does not know one: the rotation in a JPEG's EXIF was lost.
Type._missing_ = classmethod(_named)  # type: ignore[assignment, method-assign]


def stereo_of(side_data: Mapping[str, bytes]) -> str | None:
    """How a frame holds two views; None: it holds one."""
    if Type.STEREO3D.name not in side_data:
        return None
    kind, flags = struct.unpack_from("2i", side_data[Type.STEREO3D.name])
    return STEREO.get(kind, f"kind {kind}") + RIGHT_FIRST * (flags & 1)


def frame_side_data(frame: Any) -> dict[str, bytes]:
    """The side data of a decoded frame by name: `DISPLAYMATRIX`, `A53_CC`; without what has no content."""
    found = {}
    for entry in frame.side_data:
        found[entry.type.name] = bytes(entry)
        _keep_metadata(entry)
    if is_light(frame.format.name) and is_brighter(frame):
        found[BRIGHTER] = b""
    return {name: content for name, content in found.items() if _says_something(name, content, frame)}


def _keep_metadata(entry: Any) -> None:
    """PyAV 18.1 frees the metadata of side data (the name of a PNG's ICC profile), which the frame then frees again."""
    for part in gc.get_referents(entry):
        if isinstance(part, Dictionary) and len(part):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(part))  # kept for ever: 200 bytes


def packet_side_data(packet: Any) -> frozenset[str]:
    """Names of the side data of a packet: `skip_samples`, `dynamic_hdr10_plus`."""
    return frozenset(entry.data_type for entry in packet.iter_sidedata())


def _says_something(name: str, content: bytes, frame: Any) -> bool:
    match name:
        case Type.SEI_UNREGISTERED.name:
            return content[:16] not in ENCODER_UUIDS
        case Type.PANSCAN.name:  # id, width and height in sixteenths of a pixel
            _, width, height = struct.unpack_from("3i", content)
            return 0 < width < 16 * frame.width or 0 < height < 16 * frame.height
        case Type.A53_CC.name:  # triplets: valid and kind, two bytes; null pairs fill the channel of line 21
            triplets = zip(content[::3], content[1::3], content[2::3], strict=False)
            return any(head & 4 and (one & 127 or two & 127) for head, one, two in triplets)
        case Type.STEREO3D.name | Type.AFD.name:
            return content[0] not in ((0,) if name == Type.STEREO3D.name else (0, 8))  # flat; the whole frame
        case "EXIF":
            return not _exif_tags(content) <= LAYOUT
        case _:
            return True


def _exif_tags(content: bytes) -> set[int]:
    """The tags of the first directory of EXIF data, which is laid out as a TIFF file."""
    order = "<" if content.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, start)
        return {struct.unpack_from(order + "H", content, start + 2 + 12 * entry)[0] for entry in range(count)}
    except struct.error:
        return {-1}  # damaged: it may tell something
