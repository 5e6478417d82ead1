"""From pipe to pipe: frames are read once, restored and written, and nothing is kept."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from dossr_video.api import model_of, upscale_stream
from dossr_video.errors import Interrupted, SettingsError
from dossr_video.settings import Settings, SourceSettings, TargetSettings
from dossr_video.streaming import target_size
from dossr_video.video import pixels
from dossr_video.video.inspect.processing import enlarged_size
from dossr_video.video.pipe import Kind, PipeReader, PipeWriter, Shape
from dossr_video.video.tags import ColorInfo

STANDARD = "-"  # the name of standard input and output
USED = frozenset({"max_pixels", "scale", "size", "width", "height", "pix_fmt", "square_pixels"})
"""Of the options of files, those that a pipe has as well."""


def is_pipe(name: str | Path) -> bool:
    """Whether it names standard input or output, or a named pipe."""
    if str(name) == STANDARD:
        return True
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)
    except (OSError, ValueError):
        return False


def raw_shape(size: str | None, pix_fmt: str | None, settings: Settings) -> Shape:
    """What the frames of rawvideo are; SettingsError where something is not told."""
    given = {"--input-size": size, "--input-pix-fmt": pix_fmt, "--fps": settings.fps}
    if missing := [name for name, value in given.items() if value is None]:
        raise SettingsError(
            f"rawvideo does not say what it is: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
            hint="for example --input-size 720x576 --input-pix-fmt yuv420p10le --fps 25",
        )
    parts = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", str(size))
    if parts is None:
        raise SettingsError(f"--input-size {size} must be width and height", hint="for example 720x576")
    try:
        span = "pc" if pixels.is_grey(str(pix_fmt)) else "tv"  # as FFmpeg takes them
    except ValueError as error:
        raise SettingsError(
            f"--input-pix-fmt {pix_fmt} is no pixel format of FFmpeg", hint="`ffmpeg -pix_fmts` lists them"
        ) from error
    color = ColorInfo(range=span, chroma_location="left")
    return Shape(int(parts[1]), int(parts[2]), str(pix_fmt), settings.frame_rate or Fraction(25), color=color)


def unused_options(settings: Settings, *, raw: bool = False) -> list[str]:
    """The options that were given and mean nothing to a pipe, as they are written; of `raw` video --fps does."""
    of_files = SourceSettings.model_fields.keys() | TargetSettings.model_fields.keys()
    unused = sorted((of_files & settings.model_fields_set) - USED - ({"fps"} if raw else set()))
    return ["--" + name.replace("_", "-") for name in unused]


def upscale_pipe(
    source: str,
    target: str,
    settings: Settings,
    *,
    raw: Shape | None = None,
    kind: Kind | None = None,
    on_frame: Callable[[int], None] = lambda count: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Restore and enlarge a stream of frames into another, in bounded memory; nothing can be resumed or proved.

    Args:
        source: `-` for standard input, or a named pipe.
        target: `-` for standard output, or a named pipe.
        settings: Those of files are not used: see `unused_options`.
        raw: What the frames of rawvideo are; None: the source is y4m.
        kind: What is written, y4m or rawvideo; None: as what is read.
        on_frame: Called with the number of frames written.
        cancelled: Asked after each frame; once it says so, Interrupted is raised.

    Returns:
        The number of frames.

    Raises:
        SettingsError: One of the two is a file, or y4m has no such pixel format.
        SourceError: The input is not y4m, or breaks off.
        TargetError: Nobody reads the output any more.
        Interrupted: See `cancelled`.
    """
    for name, other in ((source, target), (target, source)):
        if not is_pipe(name):
            raise SettingsError(
                f"{other} is a pipe and {name} is not; from pipe to pipe is possible, or from file to file",
                hint="let ffmpeg read or write the file: "
                "ffmpeg -i in.mp4 -f yuv4mpegpipe - | dossr-video - - | ffmpeg -i - out.mkv",
            )
    count = 0
    with (
        os.fdopen(os.dup(sys.stdin.fileno()), "rb") if source == STANDARD else Path(source).open("rb") as given,
        os.fdopen(os.dup(sys.stdout.fileno()), "wb", 0) if target == STANDARD else Path(target).open("wb", 0) as made,
    ):
        reader = PipeReader(given, max_pixels=settings.max_pixels, raw=raw)
        shape, kind = reader.shape, kind or ("y4m" if raw is None else "rawvideo")
        model = model_of(settings)
        if settings.square_pixels and shape.aspect is not None and shape.aspect != 1:
            width, height = enlarged_size(shape.width, shape.height, shape.aspect, settings, model.scale)
            settings = settings.model_copy(update={"scale": None, "size": None, "width": width, "height": height})
            # The sides are rounded: so the result's pixels are square to the last digit.
            shape = replace(shape, aspect=Fraction(width * shape.height, shape.width * height))
        height, width = target_size(shape.width, shape.height, settings, model.scale)
        with PipeWriter(made, shape, kind=kind, width=width, height=height, pix_fmt=settings.pix_fmt) as writer:
            for picture in upscale_stream(reader.frames(), layout="CHW", model=model, settings=settings):
                writer.write(picture)
                count += 1
                on_frame(count)
                if cancelled():
                    raise Interrupted(f"stopped after {count} frames", hint="a pipe cannot be resumed")
    return count
