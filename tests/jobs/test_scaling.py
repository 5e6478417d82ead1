from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_of_the_page_are_those_of_the_script() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "scaling_model.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert printed in (ROOT / "docs" / "SCALING.md").read_text(encoding="utf-8")


def test_twice_the_utilisation_halves_the_work() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "scaling_model.py"), "--utilisation", "0.7"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "| work | 8.8 million GPU hours |" in printed
