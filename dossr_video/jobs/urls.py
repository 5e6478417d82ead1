"""Sources and results behind a URL (s3://, gs://, sftp://, ...), by way of fsspec."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from dossr_video.errors import SourceError, TargetError

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Stores where a name appears only with its whole content; elsewhere a result is renamed when it is whole."""


def is_url(name: str) -> bool:
    return "://" in name


def fetched(url: str) -> Path:
    """A local copy of the file, fetched anew when it changed; SourceError when that is not possible."""
    copy = cached(url)
    mark = copy.with_name("mark")
    with _errors(SourceError, f"{url} cannot be fetched"):
        system, path = fsspec.core.url_to_fs(url)
        now = str(system.ukey(path))
        if not (copy.exists() and mark.exists() and mark.read_text(encoding="utf-8") == now):
            temporary = copy.with_name(f"fetching.{secrets.token_hex(4)}")
            try:
                system.get_file(path, str(temporary))
                os.utime(temporary, (0, 0))  # the same on every machine: the fingerprint holds it
                temporary.replace(copy)
            finally:
                temporary.unlink(missing_ok=True)
            mark.write_text(now, encoding="utf-8")
    return copy


def uploaded(path: Path, url: str) -> None:
    """Put a file behind a URL; TargetError when that is not possible, and then the name is not taken."""
    with _errors(TargetError, f"{url} cannot be uploaded"):
        system, name = fsspec.core.url_to_fs(url)
        kinds = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        temporary = name if kinds & WHOLE else f"{name}.part"
        system.put_file(str(path), temporary)
        if temporary != name:
            system.mv(temporary, name)


def exists(url: str) -> bool:
    """Whether there is a file behind a URL; TargetError when that cannot be asked."""
    with _errors(TargetError, f"{url} cannot be reached"):
        system, path = fsspec.core.url_to_fs(url)
        return bool(system.exists(path))


def cached(url: str) -> Path:
    """Where a file behind a URL is kept here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dossr-video" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / Path(url).name


@contextmanager
def _errors(kind: type[SourceError | TargetError], problem: str) -> Iterator[None]:
    """Every kind of store has exceptions of its own: all of them become one of ours."""
    try:
        yield
    except Exception as error:
        raise kind(
            f"{problem}: {type(error).__name__}: {error}",
            hint="check the address and the credentials (s3:// needs the package s3fs, gs:// gcsfs), then give the "
            "same command again; nothing is computed twice",
        ) from error
