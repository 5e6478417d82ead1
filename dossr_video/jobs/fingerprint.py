"""What a resumed run must share with the run before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dossr_video.settings import Settings

BLOCK = 1 << 16  # bytes
BLOCKS = 16  # read of a file, the first and the last among them

FREE = frozenset({"chunk", "device", "threads", "max_pixels"})
"""Settings that may change between two runs of a job: the result does not depend on them."""


@dataclass(frozen=True)
class SourceMark:
    """What tells a file from another, or from itself before it was changed."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970
    sample: str  # sha256 of BLOCKS blocks spread evenly over the file

    @classmethod
    def of(cls, path: Path) -> SourceMark:
        status = path.stat()
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for i in range(BLOCKS):
                file.seek(max(status.st_size - BLOCK, 0) * i // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
        return cls(status.st_size, status.st_mtime_ns, digest.hexdigest())

    def changes_to(self, now: SourceMark) -> list[str]:
        """As Fingerprint.changes_to."""
        return _differences(
            ("input size", f"{self.size} bytes", f"{now.size} bytes"),
            ("input modified", _date(self.modified), _date(now.modified)),
            ("input content", self.sample[:12], now.sample[:12]),
        )


@dataclass(frozen=True)
class Fingerprint:
    """Everything the result depends on."""

    source: SourceMark
    settings: Mapping[str, Any]  # without those in FREE
    weights: str  # sha256 of the model's weights
    version: str  # of this program

    @classmethod
    def of(cls, source: Path, settings: Settings, weights: str) -> Fingerprint:
        return cls(SourceMark.of(source), lasting(settings), weights, version("dossr-video"))

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Fingerprint:
        return cls(**{**data, "source": SourceMark(**data["source"])})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def changes_to(self, now: Fingerprint) -> list[str]:
        """How `now` differs, one short line each: `crf: 16 -> 20`; empty when it does not."""
        names = sorted(self.settings.keys() | now.settings.keys())
        return [
            *_differences(*((name, self.settings.get(name), now.settings.get(name)) for name in names)),
            *self.source.changes_to(now.source),
            *_differences(("weights", self.weights[:12], now.weights[:12]), ("version", self.version, now.version)),
        ]


def lasting(settings: Settings) -> dict[str, Any]:
    """The settings that the result depends on, as JSON values."""
    return settings.model_dump(mode="json", exclude=set(FREE))


def settings_digest(settings: Settings) -> str:
    """sha256 of the settings that the result depends on."""
    return hashlib.sha256(json.dumps(lasting(settings), sort_keys=True).encode()).hexdigest()


def _differences(*pairs: tuple[str, Any, Any]) -> list[str]:
    return [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]


def _date(nanoseconds: int) -> str:
    """To the nanosecond, so that unequal times never print alike."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}.{rest:09d}"
