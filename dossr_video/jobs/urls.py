"""Sources and results behind a URL (s3://, gs://, sftp://, ...), by way of fsspec."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec

from dossr_video.errors import SourceError, TargetError
from dossr_video.jobs.execute.local import Executor
from dossr_video.jobs.progress import OnProgress
from dossr_video.jobs.report import Report
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Stores where a name appears only with its whole content; elsewhere a result is renamed when it is whole."""


def is_url(name: str) -> bool:
    return "://" in name


def run_job_at(
    source: str,
    target: str,
    settings: Settings,
    *,
    force: bool = False,
    restart: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
) -> Report:
    """`run_job` for paths and URLs alike.

    A source behind a URL is fetched into the user's cache (XDG_CACHE_HOME), and the job of a result behind one is done
    there, so an interrupted job goes on where its cache is. The result is uploaded when it is whole; then its part of
    the cache goes away. A machine of a Ray cluster that does not share the cache fetches the source by itself.
    """
    here = fetched(source) if is_url(source) else Path(source)
    there = _place(target) if is_url(target) else Path(target)
    if is_url(target) and not force and _exists(target):
        raise TargetError(f"{target} exists", hint="choose another name, or overwrite it with --force")
    report = run_job(
        here,
        there,
        settings,
        force=force,
        restart=restart,
        on_progress=on_progress,
        cancelled=cancelled,
        executor=executor,
        source_url=source if is_url(source) else None,
        publish=(lambda whole: uploaded(whole, target)) if is_url(target) else None,
    )
    for name, place in ((source, here), (target, there)):
        if is_url(name):
            shutil.rmtree(place.parent, ignore_errors=True)
    return report.model_copy(update={"source": source, "target": target})


def fetched(url: str) -> Path:
    """A local copy of the file, fetched anew when it changed; SourceError when that is not possible."""
    copy = _place(url)
    mark = copy.with_name("mark")
    try:
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
    except Exception as error:  # every kind of store has exceptions of its own
        raise SourceError(
            f"{url} cannot be fetched: {type(error).__name__}: {error}",
            hint="check the address and the credentials; s3:// needs the package s3fs, gs:// gcsfs",
        ) from error
    return copy


def uploaded(path: Path, url: str) -> None:
    """Put a file behind a URL; TargetError when that is not possible, and then the name is not taken."""
    try:
        system, name = fsspec.core.url_to_fs(url)
        kinds = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        temporary = name if kinds & WHOLE else f"{name}.part"
        system.put_file(str(path), temporary)
        if temporary != name:
            system.mv(temporary, name)
    except Exception as error:
        raise TargetError(
            f"{url} cannot be uploaded: {type(error).__name__}: {error}",
            hint="check the address and the credentials, then give the same command again; nothing is computed twice",
        ) from error


def _exists(url: str) -> bool:
    try:
        system, path = fsspec.core.url_to_fs(url)
        return bool(system.exists(path))
    except Exception as error:
        raise TargetError(
            f"{url} cannot be reached: {type(error).__name__}: {error}",
            hint="check the address and the credentials; s3:// needs the package s3fs, gs:// gcsfs",
        ) from error


def _place(url: str) -> Path:
    """Where a file behind a URL is kept here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dossr-video" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / Path(url).name
