"""What a job was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from dossr_video.errors import Interrupted
from dossr_video.jobs.progress import OnProgress
from dossr_video.jobs.record import Record
from dossr_video.names import possible
from dossr_video.settings import Settings


@dataclass(frozen=True)
class Request:
    """A source, a target and how one becomes the other; what lies behind URLs has its local file here too."""

    source: Path
    target: Path
    settings: Settings
    force: bool
    restart: bool
    on_progress: OnProgress
    record: Record
    cancelled: Callable[[], bool]
    source_url: str | None  # for machines that do not see `source`
    target_url: str | None  # where the whole result goes; None: it gets the name `target`
    began: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: utc_now())

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The source, and the files whose tracks are added. Raises SettingsError as `possible`."""
        return (self.source, *map(possible, map(Path, self.settings.track_files)))

    def raise_if_cancelled(self, work: str, *, hint: str = "nothing is left behind") -> None:
        """Interrupted where the job was cancelled while `work` was going on."""
        if self.cancelled():
            raise Interrupted(f"stopped while {work}", hint=hint)


def utc_now() -> str:
    """The date and time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
