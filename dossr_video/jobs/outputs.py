"""The files that a run writes beside its result: checked before the work, so that nothing is overwritten after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from pathlib import Path

from dossr_video.errors import SettingsError, TargetError
from dossr_video.video.files import require_place
from dossr_video.video.sequence import is_part_of

ENDINGS = {
    "--json-report": (".json",),
    "--report": (".html", ".htm"),
    "--page": (".html", ".htm"),
    "its sheet": (".png",),
    "--before-after": (".png",),
    "--premis": (".xml",),
    "--captions": (".scc", ".srt"),
}


def check_outputs(
    outputs: Sequence[tuple[str, Path]],
    *,
    inputs: Sequence[Path],
    target: Path | None,
    force: bool,
    own: Collection[Path] = (),
) -> None:
    """Check paths that need no reading.

    Args:
        outputs: Paths, each with what names it: an option, or a word for a file beside that of one.
        inputs: What is read, but for what is behind a URL.
        target: The result; None: behind a URL.
        force: Whether files that exist may be overwritten.
        own: Those that an earlier part of the same run has written.

    Raises:
        SettingsError: A name has another extension than what is written into it.
        TargetError: A path is the input, the result or another output, is there already, or cannot be written.
    """
    for option, path in outputs:
        if path.suffix.lower() not in ENDINGS[option]:
            raise SettingsError(
                f"{option} {path} must end in {' or '.join(ENDINGS[option])}", hint="give the file another name"
            )
        if any(is_same(path, given) or is_part_of(path, given) for given in inputs):
            raise TargetError(f"{option} {path} is an input itself", hint="give the file another name")
        if target is not None and is_same(path, target):
            raise TargetError(f"{option} {path} is the result itself", hint="give the file another name")
        require_place(path, option=f"{option} ", force=force or path in own)
    for (one, path), (other, second) in combinations(outputs, 2):
        if is_same(path, second):
            raise TargetError(f"{one} and {other} name the same file {path}", hint="give one of them another name")


def is_same(path: Path, other: Path) -> bool:
    """Whether both are one file, by any name, spelling or link; also where there is none yet."""
    try:
        return path.samefile(other)
    except OSError:
        return path.resolve() == other.resolve()
