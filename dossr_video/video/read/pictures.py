"""What the pictures of a sequence say together: how many, how fast, and what stands in their DPX headers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from dossr_video.errors import SourceError
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.dpx import read_header
from dossr_video.video.sequence import PictureSequence


def described(source: SourceInfo, sequence: PictureSequence, fps: Fraction | None) -> SourceInfo:
    """`source` as found in the first picture, with the length and the rate of all of them.

    Args:
        source: What FFmpeg's demuxer says, which counts one tick for each picture.
        sequence: The pictures.
        fps: Frames per second; None: of the DPX header.

    Raises SourceError where neither gives a rate.
    """
    header = read_header(sequence.files[0].path) if sequence.pattern.suffix.lower() == ".dpx" else None
    rate = fps or (header.rate if header is not None else None)
    if rate is None:
        raise SourceError(f"{sequence.pattern}: the pictures do not say their frame rate", hint="give it: --fps 24")
    length = len(sequence.files) / rate
    about = {} if header is None else dict(header.texts)
    if header is not None and header.timecode is not None:
        about["timecode"] = header.timecode
    video = replace(
        source.video,
        time_base=1 / rate,
        frame_rate=rate,
        frames=len(sequence.files),
        duration=length,
        begins=Fraction(0),
    )
    return replace(source, duration=length, begins=Fraction(0), metadata={**source.metadata, **about}, video=video)
