"""A short clip through a lossy video codec and back, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dossr_video.video.write.encoders import reproducible_x264

DECODERS = {"libx264": "h264", "mpeg2video": "mpeg2video", "mpeg4": "mpeg4"}


def compress(clip: NDArray[np.uint8], *, encoder: str, quality: float, pix_fmt: str = "yuv420p") -> NDArray[np.uint8]:
    """RGB (T, H, W, 3), even sides, through one encoder and its decoder.

    `quality` is the crf of libx264 and the quantiser (1 to 31) of the others.
    """
    packets = list(_encode(clip, encoder, quality, pix_fmt))
    decoder: Any = av.CodecContext.create(DECODERS[encoder], "r")
    decoder.thread_count = 1
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def _encode(clip: NDArray[np.uint8], encoder: str, quality: float, pix_fmt: str) -> Iterator[Any]:
    context: Any = av.CodecContext.create(encoder, "w")
    context.height, context.width = clip.shape[1:3]
    context.pix_fmt, context.framerate, context.thread_count = pix_fmt, 25, 1
    if encoder == "libx264":
        context.options = {"crf": f"{quality:.1f}", "preset": "medium", "x264-params": reproducible_x264()}
    else:
        context.options = {"qmin": f"{quality:.0f}", "qmax": f"{quality:.0f}", "g": "12"}
    for i, image in enumerate(clip):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
        frame.pts = i
        yield from context.encode(frame)
    yield from context.encode(None)
