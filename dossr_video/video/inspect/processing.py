"""The processing plan of a file: what is done and why, decided from the file and the options before the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import SettingsError
from dossr_video.restoration.detail import native_ratio
from dossr_video.restoration.dirt import SCRATCHED, DustMeasure
from dossr_video.restoration.spec import RestorationSpec, resolve_restoration
from dossr_video.settings import SIZES, Settings, TargetSettings
from dossr_video.video.info import Choice, SourceInfo, VideoInfo, fps
from dossr_video.video.inspect.content import ContentAnalysis, sample_content
from dossr_video.video.inspect.fields import field_spans
from dossr_video.video.light import CODINGS, is_light, known
from dossr_video.video.mux.inventory import side_data_kept, side_data_losses
from dossr_video.video.mux.losses import losses
from dossr_video.video.mux.streams import describe, map_streams
from dossr_video.video.mux.trial import trial
from dossr_video.video.read.deinterlace import FieldSpan
from dossr_video.video.read.hardware import decoding_device
from dossr_video.video.read.opening import FASTEST, SLOWEST
from dossr_video.video.read.reader import ReadSpec, open_reader
from dossr_video.video.read.timeline import parts_of
from dossr_video.video.tags import ColorInfo, in_words, matrix_in_words
from dossr_video.video.write.containers import Container, container_of
from dossr_video.video.write.formats import picture_losses
from dossr_video.video.write.players import refused_by_players
from dossr_video.video.write.spec import VideoSpec, make_spec

PLAYERS, TRACKS, LINEAR, DECODING = "players", "tracks", "linear", "decoding"
TOLD = frozenset({PLAYERS, TRACKS, LINEAR, DECODING})  # topics of findings that are also told when the run begins
FEW = 0.5  # specks a frame from which dust is spoken of
GRAIN = 1.5  # codes of 255 from which grain is seen
FLICKER = 0.007  # of exposure; steady clips measure up to 0.003, film that pumps 0.013 to 0.022, and so does fire


@dataclass(frozen=True)
class Finding:
    """One property of the source, and how it is processed."""

    topic: (
        str  # "interlacing", "borders", "light", "detail", "colour", "shape", "depth", "alpha", "time", "streams" ...
    )
    found: str  # the property
    done: str  # the processing

    def __str__(self) -> str:
        return f"{self.topic}: {self.found}; {self.done}"


@dataclass(frozen=True)
class ProcessingPlan:
    """How a run processes a file."""

    read: ReadSpec  # how the file is read
    video: VideoSpec | None  # how the picture is written; None without a target
    restoration: RestorationSpec  # what is done to the frames before and after the model
    findings: tuple[Finding, ...]
    lost: tuple[str, ...]  # what the target cannot keep, one line each; empty without a target

    def explain(self) -> list[str]:
        """The findings and losses, one line each."""
        lines = list(map(str, self.findings))
        return lines + [f"not kept: {loss}" for loss in self.lost]

    @property
    def fields(self) -> tuple[FieldSpan, ...]:
        """How each part is deinterlaced; empty: frames are taken as they are."""
        return self.read.fields


def analyse(
    source: SourceInfo,
    settings: Settings,
    *,
    target: Path | None = None,
    model_scale: int = 4,
    on_frame: Callable[[int], None] = lambda count: None,
) -> ProcessingPlan:
    """Make the processing plan. Decodes samples, or all frames if they may be interlaced: `on_frame` counts them.

    `model_scale` is the model's, which the result gets where the settings name no size.

    Raises SettingsError under `strict` when the target cannot keep something.
    """
    container = container_of(target) if target is not None else None
    if container is not None:
        _require_tracks(source, container)
    fields, (found, done) = field_spans(source, settings, on_frame)
    choice = Choice(source.video.stream.index, source.program, settings.frame_rate, CODINGS[settings.light])
    device, why_not = decoding_device(settings.hwaccel, source.video.codec)
    read = ReadSpec(settings.reader, fields, settings.start, settings.length, settings.max_pixels, choice, device)
    if read.reader != "pyav":
        open_reader(source, read).close()  # SourceError before anything else is done
    _, shape = _shape(source.video, settings, container)
    content = sample_content(source, max_pixels=settings.max_pixels)
    video: VideoSpec | None = None
    lost: tuple[str, ...] = ()
    if target is not None and container is not None:
        width, height = output_size(source.video, settings, target, model_scale)
        video = make_spec(source.video, fields, settings, target, width=width, height=height)
        video, changed = trial(source, video, container, cut=read.is_cut)
        lost = losses(source, container, cut=read.is_cut) + picture_losses(source.video, video.encoding) + changed
        lost += () if settings.program is not None else _other_programs(source)
        lost += side_data_losses(content.side_data, source.video, video.encoding)
        lost += tuple(line for file in source.track_files for line in file.left)
    if lost and settings.strict:
        raise SettingsError(
            f"--strict: {lost[0]}" + (f" ({len(lost)} losses in all)" if len(lost) > 1 else ""),
            hint="name the target .mkv, which supports most, or leave out --strict",
        )
    dust = None if fields else content.dust  # lines of two moments are no dust
    restoration = resolve_restoration(
        settings, detail=content.detail, grain=content.grain, dust=dust, model_scale=model_scale
    )
    findings = (
        *_chosen(source),
        Finding("interlacing", found, done),
        *shape,
        *_borders(content),
        *_light(content, deflicker=settings.deflicker),
        *_dust(dust, restoration),
        *_detail(content, restoration, off=settings.native == "off"),
        *_grain(content, restoration),
        *_colour(source.video, None if video is None else video.color),
        *_changes(content),
        *_time(source),
        *_linear(source, video),
        *(() if video is None else _players(video)),
        *(() if video is None else _side_data(content, source.video, video)),
        *(() if container is None else _streams(source, container, cut=read.is_cut)),
        *_lengths(source, read),
        *([Finding(DECODING, why_not, "the CPU decodes")] if why_not else []),
    )
    return ProcessingPlan(read, video, restoration, findings, lost)


def output_size(video: VideoInfo, settings: TargetSettings, target: Path, model_scale: int) -> tuple[int, int]:
    """Width and height of the result: scaled or as requested; in square pixels where they are resampled."""
    square, _ = _shape(video, settings, container_of(target))
    aspect = video.sample_aspect_ratio if square and video.sample_aspect_ratio else Fraction(1)
    return enlarged_size(video.width, video.height, aspect, settings, model_scale)


def enlarged_size(
    width: int, height: int, aspect: Fraction, settings: TargetSettings, model_scale: int
) -> tuple[int, int]:
    """Width and height of the result in square pixels, of frames whose pixels have that aspect."""
    scale = settings.scale or model_scale
    shown = width * aspect if aspect > 1 else Fraction(width)
    tall = Fraction(height) if aspect >= 1 else height / aspect
    if settings.size is not None:
        widest, tallest = SIZES[settings.size]
        factor = min(widest / shown, tallest / tall)
        return _sides(shown * factor, tall * factor, even=True)
    if settings.width is None and settings.height is None:
        return _sides(shown * scale, tall * scale, even=aspect != 1 or settings.compatible)
    if settings.width is not None and settings.height is not None:
        return settings.width, settings.height
    # What was asked for is kept, odd or not; the other side follows.
    if settings.width is not None:
        return settings.width, _even(tall * settings.width / shown)
    assert settings.height is not None
    return _even(shown * settings.height / tall), settings.height


def _sides(width: Fraction, height: Fraction, *, even: bool) -> tuple[int, int]:
    return (_even(width), _even(height)) if even else (round(width), round(height))


def _even(side: Fraction) -> int:
    return max(2, round(side / 2) * 2)


def _shape(video: VideoInfo, settings: TargetSettings, container: Container | None) -> tuple[bool, list[Finding]]:
    findings: list[Finding] = []
    square = False
    aspect = video.sample_aspect_ratio
    if aspect is not None and aspect != 1:
        encoder = settings.encoder or (container.encoders[0] if container is not None else "libx264")
        carried = container is None or encoder in container.pixel_aspect
        square = settings.square_pixels or not carried
        done = "resampled to square pixels" if square else "signalled in metadata"
        why = "" if carried else f": {encoder} in {container.format if container else ''} does not store the aspect"
        findings.append(Finding("shape", f"pixels of {aspect.numerator}:{aspect.denominator}", done + why))
    if video.cropping is not None:
        what = f"the container crops the picture ({video.cropping} pixels)"
        findings.append(Finding("shape", what, "cropped, as players show it; what lies outside is not kept"))
    if video.display_matrix is not None and video.rotation:
        findings.append(
            Finding(
                "shape",
                f"display matrix rotates by {video.rotation} degrees",
                "the same matrix is written to the result",
            )
        )
    return square, findings


def _chosen(source: SourceInfo) -> list[Finding]:
    found = []
    if len(source.programs) > 1:
        numbers = ", ".join(map(str, source.programs))
        found.append(Finding("streams", f"programs {numbers}", f"{source.program} is taken; --program chooses"))
    if len(source.videos) > 1:
        videos = ", ".join(f"{stream.index} ({stream.codec})" for stream in source.videos)
        done = f"{source.video.stream.index} is upscaled; --video chooses"
        found.append(Finding("streams", f"video streams {videos}", done))
    return found


def _other_programs(source: SourceInfo) -> tuple[str, ...]:
    others = (number for number in source.programs if number != source.program)
    return tuple(f"program {number}: a result holds one; --program {number} takes it" for number in others)


def _borders(content: ContentAnalysis) -> list[Finding]:
    plain = "scaled, not restored"
    found = []
    if content.borders:
        found.append(
            Finding("borders", f"black lines or columns: {content.borders}", f"borders of a whole shot are {plain}")
        )
    if content.switching:
        found.append(Finding("borders", f"head-switching noise: the last {content.switching} lines", plain))
    return found


def _light(content: ContentAnalysis, *, deflicker: bool) -> list[Finding]:
    if content.flicker < FLICKER:
        return []
    found = f"the exposure flickers by about {100 * content.flicker:.1f} % from frame to frame"
    return [Finding("light", found, "evened out" if deflicker else "kept; --deflicker evens it out")]


def _grain(content: ContentAnalysis, restoration: RestorationSpec) -> list[Finding]:
    if content.grain is None or (level := 255 * max(content.grain.levels)) < GRAIN:
        return []
    done = f"{restoration.grain:.0%} of it put back after the model" if restoration.grain else "left to the model"
    hint = "" if restoration.grain else "; --grain keep puts it back"
    return [Finding("grain", f"up to {level:.1f} of 255, noise included", done + hint)]


def _dust(dust: DustMeasure | None, restoration: RestorationSpec) -> list[Finding]:
    if dust is None or not (dust.specks >= FEW or dust.lines >= SCRATCHED or restoration.dust):
        return []
    word = "dirty" if dust.dirty else "little dust"
    scratches = f", scratches in {min(dust.lines, 1):.0%} of the frames" if dust.lines >= SCRATCHED else ""
    found = f"{word}: about {dust.specks:.0f} specks a frame, {dust.area:.2%} of the picture{scratches}"
    done = f"mended, at a sensitivity of {restoration.dust:g}" if restoration.dust else "left; --dust 0.5 mends it"
    return [Finding("dust", found, done)]


def _detail(content: ContentAnalysis, restoration: RestorationSpec, *, off: bool) -> list[Finding]:
    if content.detail is None:
        return []
    done = f"restored at {restoration.native:g} of its size, then enlarged" if restoration.native < 1 else "kept"
    if off and done == "kept" and native_ratio(content.detail) < 1:
        done = "kept; --native auto restores it at that size, sharper and in less time"
    return [Finding("detail", f"fills about {content.detail:.2f} of the pixel grid", done)]


def _colour(video: VideoInfo, written: ColorInfo | None) -> list[Finding]:
    color, meant = video.color, video.resolved_color
    guesses = []
    if meant.matrix and color.matrix != meant.matrix:
        guesses.append(matrix_in_words(meant.matrix))
    if meant.range and color.range != meant.range:
        guesses.append(in_words(meant.range))
    assumed = f"{' and '.join(guesses)} assumed, as players do; " if guesses else ""
    same = written is None or (written.matrix, written.range) == (color.matrix, color.range)
    tags = "the same tags are written" if same or written is None else f"written as {written.describe()}"
    found = [Finding("colour", color.describe(), assumed + tags)]
    if color.hdr:
        found.append(Finding("colour", "high dynamic range", "kept, with its HDR metadata where the encoder writes it"))
    if video.bit_depth > 8:
        found.append(
            Finding("depth", f"{video.bit_depth} bits ({video.pix_fmt})", "converted without reduction to 8 bits")
        )
    if video.alpha:
        found.append(Finding("alpha", f"transparency ({video.pix_fmt})", "scaled too where the encoder supports it"))
    return found


def _linear(source: SourceInfo, video: VideoSpec | None) -> list[Finding]:
    found = []
    video_in, transfer = source.video, source.video.color.transfer
    if video_in.codec == "exr" or (video_in.codec == "tiff" and transfer in CODINGS.values()):
        above = "what is brighter than white is kept" if transfer == CODINGS["pq"] else "above white it is clipped"
        done = f"coded by the curve of {known(transfer)} for the model; {above}"
        found.append(Finding(LINEAR, "the pictures hold scene-linear light", done))
    if video is not None and is_light(video.encoding.pix_fmt):
        curve = known(video.color.transfer)
        done = f"the curve of {curve} is undone, so that white is 1.0"
        found.append(Finding(LINEAR, "OpenEXR is written as scene-linear light", done))
    return found


def _time(source: SourceInfo) -> list[Finding]:
    found, video = [], source.video
    if video.told_rate is not None and not SLOWEST <= video.told_rate <= FASTEST:
        told = f"the file tells {float(video.told_rate):g} frames per second"
        found.append(Finding("time", told, f"{fps(video.frame_rate)} taken, as no film has that"))
    if (parts := len(parts_of(source))) > 1:
        jumps = f"timestamps jump {parts - 1} time{'s' if parts > 2 else ''}"
        found.append(Finding("time", jumps, "continued at the frame rate, in all streams"))
    if not source.start:
        return found
    return [
        *found,
        Finding("time", f"timestamps start at {float(source.start):.3f} s", "rebased to zero, in all streams"),
    ]


def _changes(content: ContentAnalysis) -> list[Finding]:
    found = []
    if content.aspect_changes:
        done = "frames of another aspect are fitted to the first, with black borders"
        found.append(Finding("shape", "the pixel aspect changes on the way", done))
    if content.color_changes:
        found.append(Finding("colour", "range or matrix change on the way", "every frame is converted with its own"))
    return found


def _players(video: VideoSpec) -> list[Finding]:
    refused = refused_by_players(video.encoding, width=video.width, height=video.height, rate=video.frame_rate)
    return [Finding(PLAYERS, f"many do not show {refused}", "--compatible writes what most show")] if refused else []


def _side_data(content: ContentAnalysis, source: VideoInfo, video: VideoSpec) -> list[Finding]:
    kept = side_data_kept(content.side_data, source.codec, video.encoding)
    return [Finding("metadata", what, "copied to the frames of the result") for what in kept]


def _require_tracks(source: SourceInfo, container: Container) -> None:
    """SettingsError for a track that is to be added and that the container cannot hold."""
    for mapping in map_streams(source, container, cut=False):
        if mapping.file is not None and mapping.action == "drop":
            raise SettingsError(
                f"{describe(mapping.stream)} cannot be added: {mapping.reason}",
                hint="name the target .mkv, which holds most, or convert the track first",
            )


def _lengths(source: SourceInfo, read: ReadSpec) -> list[Finding]:
    """When added tracks end, beside the picture."""
    video, found = source.video, []
    length = video.duration or (video.frames / video.frame_rate if video.frames else source.duration)
    for stream in source.streams:
        if (origin := stream.origin) is None:
            continue
        ends, name = origin.end - origin.file.start, describe(stream)
        if length is None:
            found.append(Finding(TRACKS, name, f"added; it ends at {float(ends):.2f} s"))
            continue
        part = length if read.duration is None else min(length, Fraction(read.start + read.duration))
        end = video.begins - source.zero + part
        late = float(ends - end)
        if abs(late) * video.frame_rate < 1:
            found.append(Finding(TRACKS, name, "added; it ends with the picture"))
        elif stream.kind == "subtitle" and late < 0:
            found.append(Finding(TRACKS, name, f"added; the last one ends at {float(ends):.2f} s"))
        else:
            where = "after" if late > 0 else "before"
            then = "cut there" if late > 0 and read.is_cut else "kept whole" if late > 0 else "then silence"
            found.append(Finding(TRACKS, name, f"added; it ends {abs(late):.2f} s {where} the picture: {then}"))
    return found


def _streams(source: SourceInfo, container: Container, *, cut: bool) -> list[Finding]:
    done = {"copy": "copied", "convert": "converted", "drop": "not kept"}
    return [
        Finding(
            "streams",
            describe(mapping.stream),
            done[mapping.action] + (f" ({mapping.reason})" if mapping.reason else ""),
        )
        for mapping in map_streams(source, container, cut=cut)
    ]
