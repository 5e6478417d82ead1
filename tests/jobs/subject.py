"""What tests have in another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from dossr_video.errors import SourceError
from dossr_video.jobs.progress import OnProgress, Progress


class Subject:
    def __init__(self, number: int) -> None:
        self.number = number

    def add(self, number: int, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> tuple[int, int]:
        on_progress(Progress("upscaling", number))
        return self.number + number + 100 * cancelled(), os.getpid()

    def crash(self, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        on_progress(Progress("probing"))
        os.write(2, b"free(): invalid pointer\n")
        os.abort()

    def refuse(self, **hooks: object) -> None:
        raise SourceError("no", hint="yes")

    def lose(self, **hooks: object) -> None:
        raise ConnectionResetError("of a store")

    def stay(self, end: Path, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Until it is cancelled; what became of it stands in the file `end`."""
        try:
            while not cancelled():
                on_progress(Progress("upscaling"))
            on_progress(Progress("upscaling"))
            end.write_text("cancelled")
        except BaseException as error:
            end.write_text(repr(error))
            raise

    def hang(self, **hooks: object) -> None:
        time.sleep(60)

    def eat(self, stage: str, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> int:
        """Takes 200 MB, slowly."""
        on_progress(Progress(stage))
        taken = []
        for _ in range(25):
            taken.append(b"x" * (8 << 20))
            time.sleep(0.02)
        return len(taken)
