"""Damaged files are done or refused in a line: no crash, no hang, no traceback, and no film is cut short in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dossr_video

HERE = Path(__file__).parent
MUTANTS, THOROUGH = 300, 5000


def _findings(folder: Path, *arguments: object) -> list[Any]:
    packages = str(Path(dossr_video.__file__).parents[1])
    command = [sys.executable, str(HERE / "fuzz.py"), str(folder), *map(str, arguments)]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": packages}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
@pytest.mark.timeout(3600)
def test_damaged_films(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    mutants = THOROUGH if pytestconfig.getoption("thorough") else MUTANTS
    assert _findings(tmp_path, "--mutants", mutants) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
def test_what_was_found_before(tmp_path: Path) -> None:
    """One seed for each past finding, named after it."""
    assert _findings(tmp_path, "--files", *sorted((HERE / "seeds").iterdir())) == []
