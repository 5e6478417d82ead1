"""Numbered pictures as files: each packet of the finished segments is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

from dossr_video.video.files import open_input
from dossr_video.video.sequence import name_of_number

Finish = Callable[[bytes, Path, Fraction], bytes]
"""From a picture as it was encoded, its path and its time in the source, seconds, to what is written."""


def write_pictures(
    segments: Iterable[tuple[Path, Fraction]],
    target: Path,
    *,
    first: int,
    finish: Finish,
    on_frame: Callable[[int], None],
) -> None:
    """Write the pictures of the segments in order, numbered from `first` on.

    Args:
        segments: Files that hold a whole picture in each packet, and when each begins in the source, seconds.
        target: The pattern; its folder is made where there is none.
        first: Number of the first picture.
        finish: Makes of each what is written.
        on_frame: Gets the count of pictures so far.
    """
    target.parent.mkdir(exist_ok=True)
    count = 0
    for segment, begin in segments:
        with open_input(segment, {}) as part:
            for packet in part.demux(part.streams.video[0]):
                if not packet.size:
                    continue
                path, time = name_of_number(target, first + count), begin + (packet.pts or 0) * packet.time_base
                path.write_bytes(finish(bytes(packet), path, time))
                count += 1
                on_frame(count)
