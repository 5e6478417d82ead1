"""Frames as bytes, exactly as an encoder has got them, to be encoded once more."""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np

HEAD = struct.Struct("<qq")  # pts, duration
PLANE = struct.Struct("<qq")  # bytes, bytes of a line


def to_bytes(frame: av.VideoFrame) -> bytes:
    """With its pts and duration; `from_bytes` makes it again."""
    parts = [HEAD.pack(frame.pts, frame.duration)]
    for plane in frame.planes:
        parts += [PLANE.pack(plane.buffer_size, plane.line_size), bytes(plane)]
    return b"".join(parts)


def from_bytes(content: bytes, *, width: int, height: int, pix_fmt: str) -> tuple[av.VideoFrame, int, int]:
    """The frame, its pts and its duration."""
    pts, duration = HEAD.unpack_from(content)
    frame, at = av.VideoFrame(width, height, pix_fmt), HEAD.size
    for plane in frame.planes:
        size, line = PLANE.unpack_from(content, at)
        at += PLANE.size
        lines = np.frombuffer(content, np.uint8, size, at).reshape(-1, line)
        memory: Any = plane
        made = np.frombuffer(memory, np.uint8).reshape(-1, plane.line_size)
        rows, columns = min(len(lines), len(made)), min(line, plane.line_size)  # lines may be padded in other ways
        made[:rows, :columns] = lines[:rows, :columns]
        at += size
    return frame, pts, duration
