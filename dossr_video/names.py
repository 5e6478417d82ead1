"""Names as people write them: paths are bytes, often not UTF-8 on old disks; Windows has rules of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from dossr_video.errors import SettingsError

_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$"}) | {
    f"{name}{number}" for name in ("com", "lpt") for number in "123456789\u00b9\u00b2\u00b3"
}
_CODED = re.compile(r"\\(\\|[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_REFUSED = frozenset('<>:"/\\|?*')


def shown(path: str | os.PathLike[str]) -> str:
    r"""A path, or a line with paths, fit for a terminal, JSON and SQLite: `caf\xe9.mp4`, `two\nlines.mp4`."""
    text = os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def coded(path: str | os.PathLike[str]) -> str:
    r"""As `shown`, and no two paths alike: a backslash is `\\`, and U+00A0 `\u00a0`, since `\xa0` is a byte."""
    text = os.fspath(path)
    return text if text.isprintable() and "\\" not in text else "".join(map(_coded, text))


def decoded(text: str) -> str:
    """The path that `coded` made it of."""
    return _CODED.sub(lambda found: _decoded(found[0]), text)


def _coded(c: str) -> str:
    if c == "\\":
        return r"\\"
    if "\x80" <= c <= "\xff" and not c.isprintable():
        return f"\\u{ord(c):04x}"
    return shown(c)


def _decoded(code: str) -> str:
    if code[1] == "x" and (byte := int(code[2:], 16)) >= 0x80:
        return os.fsdecode(bytes([byte]))
    return code.encode("ascii").decode("unicode_escape")


def possible(path: Path) -> Path:
    """A path as a person gave it, of a file that may be there or not.

    SettingsError where no file can be: a name is too long, holds a null byte, or leads in a circle or where this user
    may not look.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{shown(path)} cannot be a file: {reason}", hint="give another path") from error
    return path


def meant(word: str, known: Iterable[str], *, most: int = 1) -> str:
    """`did you mean probe? ` for a hint: of the known words those nearest to one that is none; empty where none is."""
    near = get_close_matches(word, list(known), n=most, cutoff=0.6)
    return f"did you mean {' or '.join(near)}? " if near else ""


def problem_on_windows(name: str) -> str | None:
    """Why Windows does not make a file of this name, but opens a device or changes the name; None: it does."""
    if name.split(".")[0].rstrip(" ").lower() in _DEVICES:
        return f"{name.split('.')[0]} is a device of Windows"
    if odd := [c for c in name if c in _REFUSED or ord(c) < 32]:
        return f"Windows takes no {shown(odd[0])} in names"
    return "Windows drops a dot or space at the end of a name" if name[-1:] in (".", " ") else None
