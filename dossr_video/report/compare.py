"""The page for files of any origin: a source, and what one or several tools made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import SettingsError
from dossr_video.jobs.outputs import check_outputs
from dossr_video.names import shown
from dossr_video.report.page import Details, Version, write_page
from dossr_video.report.stills import shape
from dossr_video.settings import SourceSettings
from dossr_video.video.info import Choice, SourceInfo
from dossr_video.video.inspect.fields import field_spans
from dossr_video.video.read.deinterlace import clock_of
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import ReadSpec, expected_frames, open_reader
from dossr_video.video.sequence import is_numbered

MOST = 5  # results: as many as there are colours of lines beside the source's
SLACK = 2  # frames that a result may be longer or shorter
ASPECT_SLACK = 0.03  # of the aspect: sides are rounded, borders of a few pixels cut off


def compare(
    source: Path,
    results: Sequence[Path],
    page: Path,
    *,
    fps: Fraction | None = None,
    force: bool = False,
    on_frame: Callable[[int], None] = lambda count: None,
    warn: Callable[[str], None] = lambda warning: None,
) -> None:
    """Write a page that holds results against their source.

    Args:
        source: What the results were made from; deinterlaced as a run would do it.
        results: Files of any size, rate and tool; each begins with the source's first frame.
        page: The HTML file.
        fps: Frame rate of a source that is a picture sequence without one.
        force: Overwrite a page that exists.
        on_frame: Called with the number of frames that are measured.
        warn: Called with what speaks against a result being of that source; it stands on the page too.

    Raises:
        SettingsError: There are more than MOST results, or the page does not end in .html.
        SourceError: A file cannot be read.
        TargetError: The page cannot be written, exists, or is one of the files.
    """
    if len(results) > MOST:
        raise SettingsError(f"{len(results)} results must be at most {MOST}", hint="compare them in several pages")
    check_outputs([("--page", page)], inputs=[source, *results], target=None, force=force)
    with ExitStack() as stack:
        info = probe(source, choice=Choice(fps=fps))
        fields, _ = field_spans(info, SourceSettings(), lambda count: None)
        read = ReadSpec(fields=fields)
        versions = [Version("source", stack.enter_context(open_reader(info, read)))]
        for name, result in zip(_names(results), results, strict=True):
            rate = info.video.frame_rate if is_numbered(result) else None  # pictures do not say it
            versions.append(Version(name, stack.enter_context(PyavReader(probe(result, choice=Choice(fps=rate))))))
        unlike = [line for version in versions[1:] for line in _unlike(info, read, version)]
        for line in unlike:
            warn(line)
        title = f"{shown(source.name)} and {len(results)} result{'s' if len(results) > 1 else ''}"
        write_page(page, versions, title=title, details=Details(warnings=unlike), on_frame=on_frame)


def _unlike(source: SourceInfo, read: ReadSpec, result: Version) -> list[str]:
    """How long a result is and what shape, where they are others than the source's, one line each."""
    lines, info = [], result.reader.info
    rates = clock_of(read.fields, source.video)[1], info.video.frame_rate
    given, made = expected_frames(source, read), expected_frames(info, ReadSpec())
    if given is not None and made is not None and abs(given / rates[0] - made / rates[1]) > SLACK / min(rates):
        lasts = [
            f"{float(count / rate):.2f} s ({count} frames)" for count, rate in zip((given, made), rates, strict=True)
        ]
        lines.append(f"{result.name} lasts {lasts[1]}, the source {lasts[0]}: they may not belong together")
    (width, height), (wide, high) = shape(source.video), shape(info.video)
    if abs(width * high / (height * wide) - 1) > ASPECT_SLACK:
        lines.append(f"{result.name} is {wide}x{high}, the source {width}x{height}: another shape, so it is distorted")
    return lines


def _names(results: Sequence[Path]) -> list[str]:
    """Names that tell the results apart: with their number where two have the same."""
    counts = Counter(result.name for result in results)
    names = [shown(result.name) for result in results]
    return [
        f"{number}: {name}" if counts[result.name] > 1 else name
        for number, (result, name) in enumerate(zip(results, names, strict=True), start=1)
    ]
