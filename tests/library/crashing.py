"""A library's work whose process crashes at files of a certain name, as damaged heaps make it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dossr_video.library.work import FileWork, Outcome


class Crashing(FileWork):
    def do(self, source: Path, **hooks: Any) -> Outcome:
        if source.name.startswith("crash"):
            os.abort()
        return super().do(source, **hooks)
