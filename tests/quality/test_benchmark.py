"""scripts/benchmark.py at its smallest: the page and the JSON say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_sections_print_their_tables() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--quick", "--only", "parts"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "| restore |" in run.stdout
    assert "| blend with the frame before |" in run.stdout


def test_the_page_holds_what_the_json_holds() -> None:
    page, data = (ROOT / "docs" / name for name in ("PERFORMANCE.md", "performance.json"))
    measured = json.loads(data.read_text())
    assert {"processor", "threads", "load", "size"} <= measured["machine"].keys()
    text = page.read_text()
    for section in measured["sections"]:
        assert f"## {section['title']}" in text
        assert all(f"| {row[0]} |" in text for row in section["rows"])
