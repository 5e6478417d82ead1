"""Whether a file is interlaced, telecined or whole, decided from its flags, its content and the options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo, VideoInfo
from dossr_video.video.inspect.content import ShotFields, analyse_shots, sample_content
from dossr_video.video.read.deinterlace import FILM_SHARE, FieldCounts, FieldPlan, FieldSpan

NTSC = range(2995, 3002)  # hundredths of a frame per second: where 3:2 pulldown is found
PULLDOWN = (0.3, 0.5)  # share of frames with a repeated field; two of five, give or take
MAJORITY = 3  # times as many frames one way as the other decide
ENOUGH = 8  # frames that move at least, to act against the file's own word or doubt it, or to judge a shot by itself

Spans = tuple[FieldSpan, ...]


def field_spans(
    source: SourceInfo, settings: Settings, on_frame: Callable[[int], None]
) -> tuple[Spans, tuple[str, str]]:
    """How each part of a file is treated, and in plain words what was found and what is done.

    Where anything speaks for fields the whole file is decoded to judge each shot; `on_frame` gets the count so far.
    """
    video = source.video
    counts = sample_content(source, max_pixels=settings.max_pixels).fields
    plan, words = decide_fields(video, counts, settings)
    told = settings.deinterlace != "auto" or settings.cadence == "film"
    if told or (plan is None and not _declared(video, counts) and max(counts.tff, counts.bff) < ENOUGH):
        return _uniform(plan), words
    shots = analyse_shots(source, max_pixels=settings.max_pixels, on_frame=on_frame)
    spans = tuple(_merged(_judged(shots, video, settings)))
    if len(spans) > 1:
        return spans, _describe(spans, source)
    whole = sum((shot.fields for shot in shots), FieldCounts())
    plan, words = decide_fields(video, whole, settings)
    return _uniform(spans[0].plan if spans else plan), words


def quick_spans(source: SourceInfo, settings: Settings) -> Spans:
    """As `field_spans` from a look at a few places, for an estimate."""
    plan, _ = decide_fields(source.video, sample_content(source, max_pixels=settings.max_pixels).fields, settings)
    return _uniform(plan)


def _uniform(plan: FieldPlan | None) -> Spans:
    return () if plan is None else (FieldSpan(None, plan),)


def _judged(shots: Sequence[ShotFields], video: VideoInfo, settings: Settings) -> Iterator[FieldSpan]:
    """Every shot by itself where enough of it moves, else as the shots before it, or as the file."""
    plan, _ = decide_fields(video, sum((shot.fields for shot in shots), FieldCounts()), settings)
    for index, shot in enumerate(shots):
        if shot.fields.moving >= ENOUGH:
            plan, _ = decide_fields(video, shot.fields, settings)
        yield FieldSpan(shot.start if index else None, plan)


def _merged(spans: Iterator[FieldSpan]) -> Iterator[FieldSpan]:
    before: FieldSpan | None = None
    for span in spans:
        if before is None or span.plan != before.plan:
            yield span
        before = span


def _describe(spans: Spans, source: SourceInfo) -> tuple[str, str]:
    """A mixed file: where each part begins and what is done with it."""
    lines = []
    for span in spans:
        start = 0.0 if span.start is None else float(span.start * source.video.time_base - source.start)
        lines.append(f"from {start:.3f} s {_treated(span.plan)}")
    return f"mixed content, {len(spans)} parts", ", ".join(lines)


def _treated(plan: FieldPlan | None) -> str:
    if plan is None:
        return "frames as they are"
    if plan.mode == "film":
        return f"3:2 pulldown undone ({plan.order})"
    return f"a picture per {plan.mode} ({plan.order})"


def decide_fields(
    video: VideoInfo, counts: FieldCounts, settings: Settings
) -> tuple[FieldPlan | None, tuple[str, str]]:
    """From flags, content and options to a plan for the fields; and what was found, what is done, in plain words."""
    declared = _declared(video, counts)
    order = _order(video, counts)
    said = "declared interlaced" if declared else "declared progressive"
    seen = f"{said}; of {counts.moving} frames that move {counts.tff} look top first, {counts.bff} bottom first"

    def words(found: str, done: str) -> tuple[str, str]:
        return f"{found} ({seen})", done

    if settings.deinterlace in ("frame", "field"):
        plan = FieldPlan(settings.deinterlace, order)
        return plan, words("as wished", f"bwdif, {order}, a picture per {settings.deinterlace}")
    if settings.deinterlace == "off":
        return None, words("as wished", "frames are taken as they are")
    if settings.cadence == "film" or (settings.cadence == "auto" and _is_pulldown(video, counts)):
        rate = float(video.frame_rate * FILM_SHARE)
        return FieldPlan("film", order), words(
            f"3:2 pulldown: {counts.repeated} frames repeat a field",
            f"undone, {order}, to {rate:.3f} pictures a second",
        )
    if declared and counts.progressive > MAJORITY * (counts.tff + counts.bff):
        return None, words("flagged interlaced, but both fields of a frame show one moment (PsF)", "taken as they are")
    if declared or _is_combed(counts):
        return FieldPlan("field", order), words(
            "interlaced" if declared else "interlaced without saying so",
            f"bwdif, {order}, a picture per field: {float(video.frame_rate * 2):.3f} a second",
        )
    return None, words("progressive", "frames are taken as they are")


def _declared(video: VideoInfo, counts: FieldCounts) -> bool:
    return video.field_order in ("tff", "bff") or counts.flagged * 2 > counts.frames


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
