"""What a resumed run must share with the run before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from dossr_video.names import shown
from dossr_video.runspec import AddedFile, RunSpec
from dossr_video.settings import NOT_IN_RESULT
from dossr_video.video.files import open_file, status_of

BLOCK = 1 << 16  # bytes
BLOCKS = 16  # read of a file, the first and the last among them

FREE = NOT_IN_RESULT | {"reason", "workers", "provenance", "scale", "networks"}
"""Values of a RunSpec that may change between two runs of a job: no segment depends on them, or others say the same."""


def _nobody() -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Glance:
    """A file without reading the whole of it: one that looks as before is taken for the same.

    One with another date alone may be a copy, or edited in place: its content decides.
    """

    size: int  # bytes
    modified: int  # nanoseconds since 1970
    sample: str  # sha256 of BLOCKS blocks spread evenly over the file

    @classmethod
    def of(cls, path: Path) -> Glance:
        status = status_of(path)
        digest = hashlib.sha256()
        with closing(open_file(path)) as file:
            for i in range(BLOCKS):
                file.seek(max(status.size - BLOCK, 0) * i // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
        return cls(status.size, status.modified, digest.hexdigest())


@dataclass(frozen=True)
class SourceMark:
    """What tells a file from another, or from itself before it was changed. Its date does not: a copy has another."""

    glance: Glance = field(compare=False)
    sha256: str  # of the whole file

    @classmethod
    def of(cls, path: Path, before: SourceMark | None = None, *, told: Callable[[], None] = _nobody) -> SourceMark:
        """Reads the whole file, unless it looks as when it had the mark `before`; `told` as in `sha256`."""
        glance = Glance.of(path)  # first: a file that changes while it is read looks different in the end
        if before is not None and before.glance == glance:
            return before
        return cls(glance, sha256(path, told))

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> SourceMark:
        return cls(Glance(**data["glance"]), data["sha256"])

    def changes_to(self, now: SourceMark) -> list[str]:
        """As Fingerprint.changes_to."""
        if self == now:
            return []
        return _differences(
            ("input size", f"{self.glance.size} bytes", f"{now.glance.size} bytes"),
            ("input modified", _date(self.glance.modified), _date(now.glance.modified)),
            ("input content", self.sha256[:12], now.sha256[:12]),
        )


@dataclass(frozen=True)
class Fingerprint:
    """Everything the result depends on."""

    source: SourceMark
    settings: Mapping[str, Any]  # the values of the RunSpec by their names, without those in FREE
    version: str  # of this program

    @classmethod
    def of(
        cls, source: Path, spec: RunSpec, before: SourceMark | None = None, *, told: Callable[[], None] = _nobody
    ) -> Fingerprint:
        """`before` and `told` as in SourceMark.of."""
        return cls(SourceMark.of(source, before, told=told), lasting(spec), version("dossr-video"))

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Fingerprint:
        return cls(**{**data, "source": SourceMark.of_json(data["source"])})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def key(self) -> str:
        """sha256 of what decides."""
        decides = [self.source.sha256, self.settings, self.version]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def changes_to(self, now: Fingerprint) -> list[str]:
        """How `now` differs, one short line each: `crf: 16.0 -> 20.0`; empty when it does not."""
        names = sorted(self.settings.keys() | now.settings.keys())
        return [
            *_differences(*((name, _short(self.settings.get(name)), _short(now.settings.get(name))) for name in names)),
            *self.source.changes_to(now.source),
            *_differences(("version", self.version, now.version)),
        ]


def lasting(spec: RunSpec) -> dict[str, Any]:
    """The values that a result depends on, by their names."""
    return {name: value for name, value in spec.flat().items() if name not in FREE}


def added_file(path: Path, kind: Literal["audio", "subtitle"]) -> AddedFile:
    """A file whose tracks are added, as it is now. Raises OSError."""
    return AddedFile(kind, shown(path), status_of(path).size, sha256(path))


def sha256(path: Path, told: Callable[[], None] = _nobody) -> str:
    """Of the whole file, or of all pictures of a sequence one after the other; `told` is called again and again.

    Raises OSError where it cannot be opened, SourceError where it cannot be read.
    """
    digest = hashlib.sha256()
    with closing(open_file(path)) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            told()
    return digest.hexdigest()


def _differences(*pairs: tuple[str, Any, Any]) -> list[str]:
    return [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]


def _short(value: Any) -> Any:
    """Of a sha256 the beginning, of files their names too."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and "sample" in value[0]:
        return ", ".join(f"{file['path']} ({file['sample'][:12]})" for file in value)
    if value == []:
        return "none"
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def _date(nanoseconds: int) -> str:
    """To the nanosecond, so that unequal times never print alike."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}.{rest:09d}"
