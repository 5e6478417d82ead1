"""A trial of the result before the work: what the encoder or the container refuses, rounds or drops is known then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from dossr_video.errors import SettingsError, TargetError
from dossr_video.video.files import DISK
from dossr_video.video.info import SourceInfo, VideoInfo
from dossr_video.video.mux.picture import SegmentFile
from dossr_video.video.mux.remux import Cut, join
from dossr_video.video.read.probe import probe
from dossr_video.video.write.containers import Container, extension_of
from dossr_video.video.write.spec import VideoSpec
from dossr_video.video.write.writer import VideoWriter

PACKETS = 200  # of other streams that are written
COLUMNS = Fraction(3, 2)  # of the frame, that rounding may change its shape by
UNIT = 1 << 16  # of a display matrix
NEAR = 4  # units that rounding may change a display matrix by


def trial(source: SourceInfo, spec: VideoSpec, container: Container, *, cut: bool) -> tuple[VideoSpec, tuple[str, ...]]:
    """Encode a black frame, write it with the first packets of all other streams, and read it back.

    Returns:
        The spec with the tags as the container stores them, and one line for each that it does not keep.

    Raises:
        SettingsError: The encoder refuses its options, or the container the streams.
        TargetError: The temporary folder is full or fails.
    """
    import torch  # takes a second: `probe` need not wait for it

    begin = Fraction(round(source.start / spec.time_base)) * spec.time_base
    with TemporaryDirectory() as folder:
        part = Path(folder) / f"part{spec.segment_suffix}"
        result = Path(folder) / f"result{extension_of(container)}"
        segments = [SegmentFile(part, round(begin / spec.time_base))]
        whole = Cut(begin, begin + PACKETS) if cut else None
        if container.sample_rate is not None:  # its sound is as long as the picture
            whole = Cut(begin, begin + 1 / spec.frame_rate)
        try:
            with VideoWriter(part, spec) as writer:
                writer.write(torch.zeros(1, 1, 1).expand(3, spec.height, spec.width), 0)
            joined = join(segments, source, result, spec=spec, container=container, cut=whole, packets=PACKETS)
        except (TargetError, ValueError) as error:
            if getattr(error.__cause__, "errno", None) in DISK:
                raise
            reason = error.message if isinstance(error, TargetError) else str(error)
            reason = reason.removeprefix(str(result)).removeprefix(str(part))
            raise SettingsError(
                f"a trial of the result as {container.format} failed: {reason.strip()}",
                hint="name the target .mkv, which supports most, or leave out --encoder and --pix-fmt",
            ) from error
        found = probe(result, max_pixels=spec.width * spec.height, choice=joined.choice).video
    stored = spec
    if spec.display_matrix not in (None, found.display_matrix):
        stored = replace(stored, display_matrix=found.display_matrix)
    if (spec.sample_aspect_ratio or 1) != (found.sample_aspect_ratio or 1):
        stored = replace(stored, sample_aspect_ratio=found.sample_aspect_ratio)
    return stored, tuple(_changes(spec, found, container))


def _changes(spec: VideoSpec, found: VideoInfo, container: Container) -> Iterator[str]:
    if _turns(spec.display_matrix) != _turns(found.display_matrix):
        stores = "rotation and mirroring only" if container.beside is None else "none, so pictures are as stored"
        yield f"display matrix {_turns(spec.display_matrix)}: {container.format} stores {stores}; .mp4 stores all of it"
    if spec.stereo != found.stereo:
        writer = f"{spec.encoding.encoder} in {container.format}"
        yield f"stereoscopic arrangement ({spec.stereo}): {writer} does not write it; libx264 does"
    wanted, stored = spec.sample_aspect_ratio or Fraction(1), found.sample_aspect_ratio or Fraction(1)
    if abs(wanted - stored) * spec.width > COLUMNS * wanted:
        yield f"pixel aspect {_ratio(wanted)}: {container.format} stores {_ratio(stored)}"


def _turns(matrix: tuple[int, ...] | None) -> tuple[float, ...]:
    """What a display matrix does to the frame, without the place on a canvas: a, b, c, d of ISO 14496-12."""
    numbers = (UNIT, 0, 0, UNIT) if matrix is None else (matrix[0], matrix[1], matrix[3], matrix[4])
    return tuple(round(number / NEAR) * NEAR / UNIT for number in numbers)


def _ratio(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"
