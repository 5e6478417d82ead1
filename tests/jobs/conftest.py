"""Jobs in forks of one warm process, where they can be killed and system calls can fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dossr_video
from dossr_video.settings import Settings

HERE = Path(__file__).parent


class Runner:
    """One warm process that runs jobs in forks of itself."""

    def __init__(self, library: Path | None) -> None:
        """`library` is preloaded: it makes system calls fail."""
        command = [sys.executable, str(HERE / "killable.py"), *([str(library)] if library else [])]
        # The package that is tested, which need not be the one that is installed.
        environment = {**os.environ, "PYTHONPATH": str(Path(dossr_video.__file__).parents[1])}
        if library:
            environment["LD_PRELOAD"] = str(library)
        self.fails_calls = library is not None
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, source: Path, target: Path, settings: Settings, **orders: Any) -> Any:
        """The reply of killable.py; the `orders` are those of its `run`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"source": str(source), "target": str(target), "settings": settings.model_dump(exclude_defaults=True)}
        print(json.dumps({**command, **orders}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    library = None
    if sys.platform == "linux" and shutil.which("gcc"):
        library = tmp_path_factory.mktemp("library") / "failing_calls.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", HERE / "failing_calls.c", "-o", library, "-ldl"], check=True)
    runner = Runner(library)
    yield runner
    runner.close()


@pytest.fixture
def failing(runner: Runner) -> Runner:
    """The runner, where system calls can be made to fail."""
    if not runner.fails_calls:
        pytest.skip("needs gcc on Linux: system calls are made to fail by a preloaded library")
    return runner
