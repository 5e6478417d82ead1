"""Decoding the pictures of a sequence: one that is damaged keeps its number, and a neighbour is shown in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.video.sequence import name_of_number, pictures_of

if TYPE_CHECKING:
    from av.packet import Packet


class NumberedPictures:
    """Gives one frame for each picture: where it cannot be decoded that before it, at the beginning that after it."""

    def __init__(self, decoder: Any, pattern: Path, note: Callable[[int, str], None], *, from_first: bool) -> None:
        """`note` is told of damage; `from_first`: whether the first packet is the first picture, else it may be any."""
        self._decoder = decoder
        self._pattern = pattern
        self._note = note
        self._from_first = from_first
        self._neighbour: Packet[Any] | None = None  # the last that could be decoded
        self._owed: list[int] = []  # pts of those before it that could not

    def decode(self, packet: Packet[Any]) -> list[av.VideoFrame]:
        """The frames of a packet, none where the picture is owed. After a seek nothing is owed: see DecodingPass."""
        if not packet.size:
            return []
        pts = packet.pts or 0
        try:
            frames = list(self._decoder.decode(packet))
        except av.FFmpegError:
            frames = []
        if frames:
            self._neighbour = packet
            owed, self._owed = self._owed, []
            return [*map(self._copy, owed), *frames]
        name = name_of_number(self._pattern, next(iter(pictures_of(self._pattern))) + pts).name
        self._note(pts, f"{name} cannot be decoded; the picture beside it is shown in its place")
        if self._neighbour is not None:
            return [self._copy(pts)]
        if self._from_first:
            self._owed.append(pts)
        return []

    def _copy(self, pts: int) -> av.VideoFrame:
        """The neighbour, decoded once more: frames are written to."""
        frame: av.VideoFrame = next(iter(self._decoder.decode(self._neighbour)))
        frame.pts = pts
        return frame
