"""Whether video is progressive, interlaced or telecined: decided from flags, content and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from dossr_video.settings import SourceSettings
from dossr_video.video.info import SourceInfo, VideoInfo, fps
from dossr_video.video.inspect.content import ShotFields, analyse_shots, sample_content
from dossr_video.video.read.deinterlace import FILM_SHARE, FieldCounts, FieldPlan, FieldSpan

ORDERS = {"tff": "top field first", "bff": "bottom field first"}
NTSC = range(2995, 3002)  # hundredths of a frame per second: rates with 3:2 pulldown
PULLDOWN = (0.3, 0.5)  # share of frames with a repeated field; nominally two of five
MAJORITY = 3  # ratio of frames that decides
ENOUGH = 8  # moving frames needed to override the file's flags, or to decide for a single shot

Spans = tuple[FieldSpan, ...]


def field_spans(
    source: SourceInfo, settings: SourceSettings, on_frame: Callable[[int], None]
) -> tuple[Spans, tuple[str, str]]:
    """The field plan of each part of a file, with a text of what was found and a text of what is done.

    If anything suggests interlacing the whole file is decoded to decide per shot; `on_frame` gets the count so far.
    """
    video = source.video
    counts = sample_content(source, max_pixels=settings.max_pixels).fields
    plan, words = decide_fields(video, counts, settings)
    requested = settings.deinterlace != "auto" or settings.cadence == "film"
    if requested or (plan is None and not _declared(video, counts) and max(counts.tff, counts.bff) < ENOUGH):
        return _uniform(plan), words
    shots = analyse_shots(source, max_pixels=settings.max_pixels, on_frame=on_frame)
    spans = tuple(_merged(_judged(shots, video, settings)))
    if len(spans) > 1:
        return spans, _describe(spans, source)
    whole = sum((shot.fields for shot in shots), FieldCounts())
    plan, words = decide_fields(video, whole, settings)
    return _uniform(spans[0].plan if spans else plan), words


def quick_spans(video: VideoInfo, counts: FieldCounts, settings: SourceSettings) -> Spans:
    """As `field_spans`, from what was counted in a few frames."""
    plan, _ = decide_fields(video, counts, settings)
    return _uniform(plan)


def _uniform(plan: FieldPlan | None) -> Spans:
    return () if plan is None else (FieldSpan(None, plan),)


def _judged(shots: Sequence[ShotFields], video: VideoInfo, settings: SourceSettings) -> Iterator[FieldSpan]:
    """Decide per shot; shots with little motion follow the shot before, or the whole file."""
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
    """Texts for mixed content: where each part begins and what is done."""
    lines = []
    for span in spans:
        start = 0.0 if span.start is None else float(span.start * source.video.time_base - source.start)
        lines.append(f"from {start:.3f} s {_treated(span.plan)}")
    return f"mixed content, {len(spans)} parts", ", ".join(lines)


def _treated(plan: FieldPlan | None) -> str:
    if plan is None:
        return "not deinterlaced"
    if plan.mode == "film":
        return f"inverse telecine, {ORDERS[plan.order]}"
    return f"deinterlaced, one frame per {plan.mode}, {ORDERS[plan.order]}"


def _rate(plan: FieldPlan, video: VideoInfo) -> str:
    if plan.mode == "film":
        return fps(video.frame_rate * FILM_SHARE)
    return f"one frame per {plan.mode}: {fps(video.frame_rate * (2 if plan.mode == 'field' else 1))}"


def decide_fields(
    video: VideoInfo, counts: FieldCounts, settings: SourceSettings
) -> tuple[FieldPlan | None, tuple[str, str]]:
    """The field plan from flags, content and options; with texts of what was found and what is done."""
    declared = _declared(video, counts)
    order = _order(video, counts)
    said = "declared interlaced" if declared else "declared progressive"
    combed = counts.tff + counts.bff
    seen = f"{said}; {combed} of {counts.moving} moving frames look interlaced"
    first = ORDERS[order]

    def words(found: str, done: str) -> tuple[str, str]:
        return f"{found} ({seen})", done

    if settings.deinterlace in ("frame", "field"):
        plan = FieldPlan(settings.deinterlace, order)
        return plan, words("as requested", f"deinterlaced with bwdif, {first}, {_rate(plan, video)}")
    if settings.deinterlace == "off":
        return None, words("as requested", "not deinterlaced")
    if settings.cadence == "film" or (settings.cadence == "auto" and _is_pulldown(video, counts)):
        plan = FieldPlan("film", order)
        return plan, words(
            f"film with 3:2 pulldown: {counts.repeated} frames repeat a field",
            f"the film's frames are restored (inverse telecine, {first}), {_rate(plan, video)}",
        )
    if declared and counts.progressive > MAJORITY * (counts.tff + counts.bff):
        return None, words("flagged as interlaced, but the content is progressive (PsF)", "not deinterlaced")
    if declared or _is_combed(counts):
        plan = FieldPlan("field", order)
        return plan, words(
            f"interlaced, {first}" if declared else f"interlaced, {first}, not flagged",
            f"deinterlaced with bwdif, {_rate(plan, video)}",
        )
    return None, words("progressive", "not deinterlaced")


def _declared(video: VideoInfo, counts: FieldCounts) -> bool:
    return video.field_order in ("tff", "bff") or counts.flagged * 2 > counts.frames


def _is_combed(counts: FieldCounts) -> bool:
    """Whether the content is interlaced, regardless of flags."""
    first, second = max(counts.tff, counts.bff), min(counts.tff, counts.bff)
    return first >= ENOUGH and first > MAJORITY * (counts.progressive + second)


def _order(video: VideoInfo, counts: FieldCounts) -> Literal["tff", "bff"]:
    """Field order: from the content where it is clear, then from the flags, then the codec's default."""
    if max(counts.tff, counts.bff) > MAJORITY * min(counts.tff, counts.bff):
        return "tff" if counts.tff > counts.bff else "bff"
    if video.field_order == "bff" or (video.field_order is None and video.codec == "dvvideo" and video.height == 480):
        return "bff"
    return "tff"


def _is_pulldown(video: VideoInfo, counts: FieldCounts) -> bool:
    share = counts.repeated / max(counts.frames, 1)
    return int(video.frame_rate * 100) in NTSC and PULLDOWN[0] <= share <= PULLDOWN[1]
