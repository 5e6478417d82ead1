"""A few seconds of pictures as a small file in memory, for a page that plays them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

BITS = 1_500_000  # a second, at most about
OPTIONS = {"deadline": "realtime", "cpu-used": "6", "crf": "24", "row-mt": "1"}


def write_excerpt(pictures: Iterable[NDArray[np.uint8]], rate: Fraction) -> bytes:
    """WebM, VP9: every browser plays it. `pictures`: RGB (H, W, 3) with even sides, `rate` of them a second."""
    data = io.BytesIO()
    with av.open(data, "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=rate, options=OPTIONS)
        stream.bit_rate = BITS
        for picture in pictures:
            if not stream.codec_context.is_open:
                stream.height, stream.width, stream.pix_fmt = picture.shape[0], picture.shape[1], "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return data.getvalue()
