"""A result of numbered pictures: what is written into each of them, and the file beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from dossr_video.errors import SourceError
from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.timecode import relabelled, timecode_of
from dossr_video.video.read.dpx import header_of
from dossr_video.video.sequence import PictureSequence, prefix_of
from dossr_video.video.write.dpx import DpxFields, with_header
from dossr_video.video.write.spec import VideoSpec


def file_beside(target: Path) -> Path:
    """Where sound, subtitles and all else that is no picture goes: `out.mka` beside `out_%06d.png`."""
    return target.with_name(f"{prefix_of(target) or 'sound'}.mka")


@dataclass(frozen=True)
class Headers:
    """Fills in the headers of a result's pictures, where their format has any."""

    source: SourceInfo
    spec: VideoSpec
    added: Mapping[str, str]  # metadata entries that the source does not have

    def __call__(self, picture: bytes, path: Path, time: Fraction) -> bytes:
        """A picture with its header; `time`: seconds in the source's clock."""
        if self.spec.encoding.encoder != "dpx":
            return picture
        video, header = self.source.video, self._header(time)
        code = None if header else timecode_of(self.source)
        if code is not None:
            code = relabelled(code, time - video.begins, rate=video.frame_rate, new_rate=self.spec.frame_rate)
        creator = next(iter(self.added.values()), None)
        texts = {key.lower(): value for key, value in self.source.metadata.items()}
        return with_header(picture, DpxFields(path.name, self.spec.frame_rate, code, creator, texts, header))

    def _header(self, time: Fraction) -> bytes:
        """Of the picture that a frame is made of; none where it is no DPX file, or a damaged one."""
        if self._scans is None:
            return b""
        try:
            return header_of(self._scans.files[int(time / self.source.video.time_base)].path)
        except SourceError:  # the picture beside it is shown in its place
            return b""

    @cached_property
    def _scans(self) -> PictureSequence | None:
        """The pictures that the result is made of, where they are DPX."""
        sequence = PictureSequence.of(self.source.path)
        return sequence if sequence is not None and sequence.pattern.suffix.lower() == ".dpx" else None
