"""What is done with a file and why, in plain words: decided from the file and the options, followed to the letter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from dossr_video.errors import SettingsError
from dossr_video.settings import Settings
from dossr_video.video.containers import Container, container_of
from dossr_video.video.deinterlace import FILM_SHARE, FieldCounts, FieldPlan
from dossr_video.video.encoders import picture_losses
from dossr_video.video.probe import SourceInfo, VideoInfo, probe
from dossr_video.video.reader import PyavReader, look_at
from dossr_video.video.streams import describe, fates, losses
from dossr_video.video.writer import make_encoding

PLACES = 3  # of the file that are looked at, spread evenly
LOOK = 48  # frames at each
NTSC = range(2995, 3002)  # hundredths of a frame per second: where 3:2 pulldown is found
PULLDOWN = (0.3, 0.5)  # share of frames with a repeated field; two of five, give or take
MAJORITY = 3  # times as many frames one way as the other decide
ENOUGH = 8  # combed frames at least, to act against the file's own word
SHORT = 10  # seconds; shorter files are looked at from their beginning


@dataclass(frozen=True)
class Finding:
    """One thing that was found, and what it leads to."""

    topic: str  # "interlacing", "colour", "shape", "depth", "alpha", "time", "streams", "damage"
    found: str  # in plain words
    done: str  # in plain words


@dataclass(frozen=True)
class Treatment:
    """What a run does with a file."""

    fields: FieldPlan | None  # None: frames are taken as they are
    square_pixels: bool  # whether the result is resampled to square pixels
    findings: tuple[Finding, ...]
    lost: tuple[str, ...]  # what the target cannot hold, one line each; empty without a target

    def explain(self) -> list[str]:
        """The findings and losses, one line each."""
        lines = [f"{finding.topic}: {finding.found}; {finding.done}" for finding in self.findings]
        return lines + [f"not kept: {loss}" for loss in self.lost]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def triage(source: SourceInfo, settings: Settings, *, target: Path | None = None) -> Treatment:
    """Decide how a file is treated. Decodes up to PLACES * LOOK frames.

    Raises SettingsError under `strict` when the target cannot keep something.
    """
    fields, interlacing = _fields(source, settings)
    container = container_of(target) if target is not None else None
    square, shape = _shape(source.video, settings, container)
    lost: tuple[str, ...] = ()
    if target is not None and container is not None:
        width, height = output_size(source.video, settings, target)
        encoding = make_encoding(source.video, settings, container, width=width, height=height)
        lost = losses(source, container) + picture_losses(source.video, encoding)
    if lost and settings.strict:
        raise SettingsError(
            f"--strict: {lost[0]}" + (f" ({len(lost)} losses in all)" if len(lost) > 1 else ""),
            hint="name the target .mkv, which holds most, or leave out --strict",
        )
    findings = (
        interlacing,
        *shape,
        *_colour(source.video),
        *_time(source),
        *(() if container is None else _streams(source, container)),
    )
    return Treatment(fields, square, findings, lost)


def open_reader(path: Path, settings: Settings) -> PyavReader:
    """The reader that a run uses: frames as `triage` wants them."""
    fields, _ = _fields(probe(path, max_pixels=settings.max_pixels), settings)
    return PyavReader(path, fields=fields, max_pixels=settings.max_pixels)


def output_size(video: VideoInfo, settings: Settings, target: Path) -> tuple[int, int]:
    """Width and height of the result: scaled, or as wished, and resampled to square pixels where that is due."""
    square, _ = _shape(video, settings, container_of(target))
    aspect = video.sample_aspect_ratio if square and video.sample_aspect_ratio else Fraction(1)
    shown = video.width * aspect if aspect > 1 else Fraction(video.width)
    tall = Fraction(video.height) if aspect >= 1 else video.height / aspect
    width, height = settings.width, settings.height
    if width is None and height is None:
        return _sides(shown * settings.scale, tall * settings.scale, even=aspect != 1)
    if width is None:
        return _sides(shown * (height or 1) / tall, Fraction(height or 1), even=True)
    if height is None:
        return _sides(Fraction(width), tall * width / shown, even=True)
    return width, height


def _sides(width: Fraction, height: Fraction, *, even: bool) -> tuple[int, int]:
    if even:
        return max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)
    return round(width), round(height)


def _fields(source: SourceInfo, settings: Settings) -> tuple[FieldPlan | None, Finding]:
    status = source.path.stat()
    counts = _content(source.path, status.st_size, status.st_mtime_ns, settings.max_pixels)
    return decide_fields(source.video, counts, settings)


@lru_cache(maxsize=64)
def _content(path: Path, size: int, modified: int, max_pixels: int) -> FieldCounts:
    """The content of frames at PLACES places of the file; `size` and `modified` tell a changed file from the old."""
    source = probe(path, max_pixels=max_pixels)
    length = source.duration or Fraction(0)
    if length <= SHORT:
        return look_at(path, start=Fraction(0), count=PLACES * LOOK, max_pixels=max_pixels)
    total = FieldCounts()
    for place in range(PLACES):
        start = source.start + length * place / PLACES if place else Fraction(0)
        total += look_at(path, start=start, count=LOOK, max_pixels=max_pixels)
    return total


def decide_fields(video: VideoInfo, counts: FieldCounts, settings: Settings) -> tuple[FieldPlan | None, Finding]:
    """From flags, content and options to a plan for the fields, and the reason."""
    declared = video.field_order in ("tff", "bff") or counts.flagged * 2 > counts.frames
    order = _order(video, counts)
    said = "declared interlaced" if declared else "declared progressive"
    moving = counts.tff + counts.bff + counts.progressive
    seen = f"{said}; of {moving} frames that move {counts.tff} look top first, {counts.bff} bottom first"

    def finding(found: str, done: str) -> Finding:
        return Finding("interlacing", f"{found} ({seen})", done)

    if settings.deinterlace in ("frame", "field"):
        plan = FieldPlan(settings.deinterlace, order)
        return plan, finding("as wished", f"bwdif, {order}, a picture per {settings.deinterlace}")
    if settings.deinterlace == "off":
        return None, finding("as wished", "frames are taken as they are")
    if settings.cadence == "film" or (settings.cadence == "auto" and _is_pulldown(video, counts)):
        rate = float(video.frame_rate * FILM_SHARE)
        return FieldPlan("film", order), finding(
            f"3:2 pulldown: {counts.repeated} frames repeat a field",
            f"undone, {order}, to {rate:.3f} pictures a second",
        )
    combed = counts.tff + counts.bff
    if declared and counts.progressive > MAJORITY * combed:
        return None, finding(
            "flagged interlaced, but both fields of a frame show one moment (PsF)", "taken as they are"
        )
    if declared or _is_combed(counts):
        return FieldPlan("field", order), finding(
            "interlaced" if declared else "interlaced without saying so",
            f"bwdif, {order}, a picture per field: {float(video.frame_rate * 2):.3f} a second",
        )
    return None, finding("progressive", "frames are taken as they are")


def _is_combed(counts: FieldCounts) -> bool:
    """Whether the content is interlaced whatever the file says."""
    first, second = max(counts.tff, counts.bff), min(counts.tff, counts.bff)
    return first >= ENOUGH and first > MAJORITY * (counts.progressive + second)


def _order(video: VideoInfo, counts: FieldCounts) -> Literal["tff", "bff"]:
    """Which field comes first: the content where it is clear, then the file's word, then what the codec always does."""
    if max(counts.tff, counts.bff) > MAJORITY * min(counts.tff, counts.bff):
        return "tff" if counts.tff > counts.bff else "bff"
    if video.field_order == "bff" or (video.field_order is None and video.codec == "dvvideo" and video.height == 480):
        return "bff"
    return "tff"


def _is_pulldown(video: VideoInfo, counts: FieldCounts) -> bool:
    share = counts.repeated / max(counts.frames, 1)
    return int(video.frame_rate * 100) in NTSC and PULLDOWN[0] <= share <= PULLDOWN[1]


def _shape(video: VideoInfo, settings: Settings, container: Container | None) -> tuple[bool, list[Finding]]:
    findings: list[Finding] = []
    square = False
    aspect = video.sample_aspect_ratio
    if aspect is not None and aspect != 1:
        encoder = settings.encoder or (container.encoders[0] if container is not None else "libx264")
        carried = container is None or encoder in container.pixel_aspect
        square = settings.square_pixels or not carried
        done = "resampled to square pixels" if square else "kept as a tag"
        why = "" if carried else f": {encoder} in {container.format if container else ''} loses the tag"
        findings.append(Finding("shape", f"pixels of {aspect.numerator}:{aspect.denominator}", done + why))
    if video.display_matrix is not None and video.rotation:
        findings.append(
            Finding("shape", f"shown turned by {video.rotation} degrees", "the same matrix is written to the result")
        )
    return square, findings


def _colour(video: VideoInfo) -> list[Finding]:
    color, meant = video.color, video.resolved_color
    tags = "/".join(tag or "untagged" for tag in (color.primaries, color.transfer, color.matrix, color.range))
    found = [Finding("colour", tags, f"converted with {meant.matrix}, {meant.range} range, and written alike")]
    if color.hdr:
        found.append(Finding("colour", "high dynamic range", "kept in 10 bits with its light-level data"))
    if video.bit_depth > 8:
        found.append(Finding("depth", f"{video.bit_depth} bits ({video.pix_fmt})", "converted without going through 8"))
    if video.alpha:
        found.append(Finding("alpha", f"transparency ({video.pix_fmt})", "enlarged too where the encoder keeps it"))
    return found


def _time(source: SourceInfo) -> list[Finding]:
    if not source.start:
        return []
    return [Finding("time", f"its clock begins at {float(source.start):.3f} s", "told from zero, sound likewise")]


def _streams(source: SourceInfo, container: Container) -> list[Finding]:
    done = {"copy": "copied as it is", "convert": "converted", "lose": "left behind"}
    return [
        Finding("streams", describe(fate.stream), done[fate.action] + (f" ({fate.reason})" if fate.reason else ""))
        for fate in fates(source, container)
    ]
