"""Results behind a URL: a name appears there with its whole content or not at all, and that is compared."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dossr_video.errors import TargetError
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.urls import is_whole, shown_url, store_of, url_errors

PART = 16 << 20  # bytes of a file that are sent to S3 at a time; smaller files than two of them go at once
PARTS = 9000  # of a file, at most; S3 takes 10,000
AT_A_TIME = 4  # parts that are sent side by side
DIGEST = "sha256"  # name of the metadata of an object that holds the digest of its content


def check_url(url: str, *, force: bool) -> None:
    """TargetError when a result could not be put behind a URL, or must not be; before the work."""
    if urlsplit(url).scheme in ("http", "https"):
        raise TargetError(
            f"{shown_url(url)}: a result cannot be put behind an http address",
            hint="give a path, or an address of a store that takes files (s3://, gs://, sftp://, ...)",
        )
    with url_errors(TargetError, url, "cannot be written"):
        system, name = store_of(url)
        if _is_s3(system):  # begun and given up: nothing is to be seen of it, and what must be allowed is
            bucket, key, _ = system.split_path(name)
            begun = system.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
            system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
        elif not is_whole(system):
            system.pipe_file(f"{name}.part", b"")
            system.rm_file(f"{name}.part")
        there = bool(system.exists(name))
    if there and not force:
        raise TargetError(f"{shown_url(url)} exists", hint="choose another name, or overwrite it with --force")


def uploaded(path: Path, url: str, *, force: bool) -> None:
    """Put a file behind a URL, and compare what is there with it.

    Raises TargetError when that is not possible, and then the name is not taken; and when it is taken and `force` does
    not say that it may be overwritten.
    """
    with url_errors(TargetError, url, "cannot be uploaded"):
        system, name = store_of(url)
        try:
            if _is_s3(system):
                _put_s3(system, path, name, force=force)
            elif is_whole(system):
                system.put_file(str(path), name)
            else:
                system.put_file(str(path), f"{name}.part")
                system.mv(f"{name}.part", name)
        except FileExistsError as error:
            raise TargetError(
                f"{shown_url(url)} has appeared while the work went on",
                hint="move it away and give the same command again, or overwrite it with --force; "
                "the finished segments are kept",
            ) from error
        if not _is_same(system, name, path):
            raise TargetError(
                f"{shown_url(url)} was uploaded, and is not what was sent",
                hint="give the same command again with --force; the finished segments are kept",
            )


def is_behind(url: str) -> bool:
    """Whether there is something behind a URL."""
    with url_errors(TargetError, url, "cannot be read"):
        system, name = store_of(url)
        return bool(system.exists(name))


def read_small(url: str) -> bytes | None:
    """What is behind a URL; None: nothing."""
    with url_errors(TargetError, url, "cannot be read"):
        system, name = store_of(url)
        return system.cat_file(name) if system.exists(name) else None


def write_small(url: str, content: bytes) -> None:
    """Put a few bytes behind a URL of a bucket, over what is there."""
    with url_errors(TargetError, url, "cannot be written"):
        system, name = store_of(url)
        system.pipe_file(name, content)


def digest_of(url: str) -> str | None:
    """sha256 of what is behind a URL, by what was noted when it was put there, or else by reading it; None: nothing."""
    with url_errors(TargetError, url, "cannot be read"):
        system, name = store_of(url)
        if not system.exists(name):
            return None
        noted = system.metadata(name).get(DIGEST) if _is_s3(system) else None
        return noted or _read_digest(system, name)


def _put_s3(system: Any, path: Path, name: str, *, force: bool) -> None:
    """In parts; the last request gives them their name together, and is refused where that is taken."""
    bucket, key, _ = system.split_path(name)
    with suppress(OSError):  # not every store tells; what a killed run has sent would be paid for for ever
        listed = system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        for begun in listed.get("Uploads", ()):
            if begun["Key"] == key:
                system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
    system.put_file(
        str(path),
        name,
        chunksize=_part_of(path),
        max_concurrency=AT_A_TIME,
        mode="overwrite" if force else "create",
        Metadata={DIGEST: sha256(path)},
    )


def _is_same(system: Any, name: str, path: Path) -> bool:
    """Whether what is there has the content of the file: by the digest that the store has made, or else by reading."""
    found = system.info(name)
    if found["size"] != path.stat().st_size:
        return False
    if _is_s3(system) and found["ETag"].strip('"') == _etag_of(path):
        return True
    # Encrypted objects have other tags, and other stores none.
    return _read_digest(system, name) == sha256(path)


def _etag_of(path: Path) -> str:
    """What S3 makes of the parts: the MD5 of a whole file, or that of the MD5s of its parts and their number."""
    part = _part_of(path) if path.stat().st_size >= 2 * _part_of(path) else 2 * PART
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(part), b"")
        digests = [hashlib.md5(piece, usedforsecurity=False) for piece in pieces]
    if part == 2 * PART:
        return (digests or [hashlib.md5(usedforsecurity=False)])[0].hexdigest()
    whole = hashlib.md5(b"".join(digest.digest() for digest in digests), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(digests)}"


def _part_of(path: Path) -> int:
    return max(PART, -(-path.stat().st_size // PARTS))


def _read_digest(system: Any, name: str) -> str:
    digest = hashlib.sha256()
    with system.open(name, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_s3(system: Any) -> bool:
    return "s3" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)
