"""Sources and results behind a URL (s3://, gs://, sftp://, ...), by way of fsspec."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import fsspec
import platformdirs

from dossr_video.errors import DossrError, SourceError, TargetError
from dossr_video.names import possible
from dossr_video.video.sequence import is_numbered

FILE = "file://"
SILENCE = 300.0  # seconds

BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
"""Stores that hold many files and list them."""

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Stores where a name appears only with its whole content; elsewhere a result is renamed when it is whole."""


def is_url(name: str) -> bool:
    """Whether it names something that is not on this machine."""
    return "://" in name and not name.startswith(FILE)


def local(name: str | Path) -> Path | None:
    """The path of what lies on this machine; None for a URL. Raises SettingsError as `possible`."""
    text = str(name)
    if is_url(text):
        return None
    if text.startswith(FILE):
        return possible(Path(url2pathname(text.removeprefix(FILE).removeprefix("localhost"))))
    return possible(Path(name))


def shown_url(url: str) -> str:
    """Without user, password and what a presigned address carries behind its path."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def listed(url: str, *, recursive: bool) -> list[str]:
    """URLs of the files below a URL, as the store calls them; SourceError when it cannot be listed.

    Without `recursive` those of the next folder alone.
    """
    with url_errors(SourceError, url, "cannot be listed"):
        system, root = store_of(url)
        found = system.find(root, detail=True) if recursive else _next(system, root)
        names = sorted(name for name, entry in found.items() if entry["type"] == "file" and name != root)
    return [url + name[len(root) :] for name in names]


def _next(system: Any, root: str) -> dict[str, Any]:
    """What lies in a folder of a bucket."""
    try:
        return {entry["name"]: entry for entry in system.ls(root, detail=True)}
    except FileNotFoundError:  # nothing below it, or no such bucket: this tells
        system.find(root)
        return {}


def mark_of(url: str) -> tuple[int, str]:
    """Size of what is behind a URL, and what changes with its content; SourceError when it cannot be told."""
    with url_errors(SourceError, url, "cannot be read"):
        system, name = store_of(url)
        found = system.info(name)
        return int(found["size"]), str(found.get("ETag") or system.ukey(name))


class _Counting(fsspec.Callback):
    """Tells the bytes that have come, and how many there are; None: not known."""

    def __init__(self, told: Callable[[int, int | None], None]) -> None:
        super().__init__()
        self._told = told

    def call(self, *arguments: Any, **options: Any) -> None:
        self._told(self.value, self.size)


def fetched(url: str, folder: Path, told: Callable[[int, int | None], None] = lambda done, total: None) -> Path:
    """A copy of the file in a folder, fetched anew when it changed; SourceError when that is not possible.

    `told` gets the bytes that have come and the bytes in all; what it raises ends the fetching.
    """
    if is_numbered(Path(url)) or url.endswith("/"):
        raise SourceError(
            f"{shown_url(url)}: a folder or numbered pictures behind a URL are not read",
            hint="copy the pictures into a folder of this machine; `dossr-video batch` does the films of a bucket",
        )
    copy = copy_of(url, folder)
    mark = copy.with_name("mark")
    with url_errors(SourceError, url, "cannot be fetched"):
        copy.parent.mkdir(parents=True, exist_ok=True)
        for left in copy.parent.glob("fetching.*"):  # by a run that was killed: what comes is written to
            if time.time() - left.stat().st_mtime > 2 * SILENCE:
                left.unlink(missing_ok=True)
        system, path = store_of(url)
        now = str(system.ukey(path))
        if not (copy.exists() and mark.exists() and mark.read_text(encoding="utf-8") == now):
            temporary = copy.with_name(f"fetching.{secrets.token_hex(4)}")
            size = system.info(path).get("size")
            try:
                system.get_file(path, str(temporary), callback=_Counting(told))
                if size is not None and temporary.stat().st_size != size:
                    raise ConnectionError(f"it ended after {temporary.stat().st_size} of {size} bytes")
                # The same on every machine, and another for another content.
                date = int.from_bytes(hashlib.sha256(now.encode()).digest()[:4], "big")
                os.utime(temporary, (date, date))
                temporary.replace(copy)
            finally:
                temporary.unlink(missing_ok=True)
            mark.write_text(now, encoding="utf-8")
    return copy


def folder_for(name: str) -> Path:
    """The folder of the user's cache for what is done for that result; it is there while somebody needs it."""
    return platformdirs.user_cache_path("dossr-video", appauthor=False) / _short(name)


def copy_of(url: str, folder: Path) -> Path:
    """Where the copy of a file behind a URL lies in a folder, whatever else is fetched to it."""
    return folder / _short(url) / _last(url)


def cached(url: str) -> Path:
    """The name that a result behind a URL has here: its job lies beside it."""
    return folder_for(url) / _last(url)


def _short(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _last(url: str) -> str:
    name = Path(urlsplit(url).path if url.startswith("http") else url)
    return name.stem[:50] + name.suffix[:10]


def store_of(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the name in it. What it says is what is there now: others write there too."""
    if urlsplit(url).scheme not in ("http", "https"):
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    import aiohttp

    # A film may take hours; only silence is an error.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
    return fsspec.core.url_to_fs(url, client_kwargs={"timeout": timeout})


def is_whole(system: Any) -> bool:
    kinds = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    return bool(kinds & WHOLE)


@contextmanager
def url_errors(kind: type[SourceError | TargetError], url: str, problem: str) -> Iterator[None]:
    """Every kind of store has exceptions of its own: all of them become one of ours."""
    try:
        yield
    except DossrError:
        raise
    except Exception as error:
        said = next(iter(str(error).replace(url, shown_url(url)).splitlines()), "")
        for secret in filter(None, (urlsplit(url).query, urlsplit(url).password)):
            said = said.replace(secret, "...")
        raise kind(
            f"{shown_url(url)} {problem}: {type(error).__name__}: {said}",
            hint="check the address and the credentials, then give the same command again; nothing is computed twice"
            + _needed(url, error),
        ) from error


def _needed(url: str, error: Exception) -> str:
    """The extra that a kind of URL needs, where it is not installed."""
    if not isinstance(error, ImportError):
        return ""
    scheme = urlsplit(url).scheme
    extra = {"https": "http", "s3a": "s3", "gs": "gcs"}.get(scheme, scheme)
    return f' (pip install "dossr-video[{extra}]")' if extra in ("http", "s3", "gcs") else ""
