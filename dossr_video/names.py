"""Paths as text: file names are bytes, and those of old disks are often not UTF-8."""

from __future__ import annotations

import os


def shown(path: str | os.PathLike[str]) -> str:
    r"""A path, or a line with paths, fit for a terminal, JSON and SQLite: `caf\xe9.mp4`, `two\nlines.mp4`."""
    text = os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
