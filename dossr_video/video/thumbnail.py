"""A small picture of a file's first frame."""

from __future__ import annotations

import io
from pathlib import Path

import av
from PIL import Image

from dossr_video.errors import SourceError
from dossr_video.names import shown
from dossr_video.video.files import close_input, open_input


def thumbnail(path: Path, *, height: int = 120) -> bytes:
    """The first frame as JPEG; SourceError when there is none.

    Args:
        path: A file that this program has written.
        height: Of the picture, pixels.
    """
    try:
        container = open_input(path, {})
        try:
            frame = next(container.decode(video=0))
            width = round(frame.width * height / frame.height)
            picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
        finally:
            close_input(container)
    except (av.FFmpegError, StopIteration, IndexError, OSError) as error:
        raise SourceError(f"{shown(path)} has no picture", hint="it may be finished or gone") from error
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=85)
    return data.getvalue()
