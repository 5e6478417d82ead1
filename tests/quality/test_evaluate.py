"""scripts/evaluate.py from files to page, at a tiny size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from dossr_video.quality.pairs import encode

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(truth: NDArray[np.uint8], metric_weights: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "media").mkdir()
    encode(truth, tmp_path / "media" / "waves.mkv", crf=None)
    recipes = {"waves": {"clip": "waves.mkv", "height": 96, "kind": "compressed", "seed": 0}}
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump({"frames": 4, "pairs": recipes, "peers": []}))
    options = {
        "--metric-weights": metric_weights,
        "--model": "bicubic",
        "--frames": 3,
        "--pairs": tmp_path / "pairs.yaml",
        "--page": tmp_path / "docs" / "QUALITY.md",
        "--sheet": tmp_path / "docs" / "pictures" / "quality.png",
        "--cache": tmp_path / "cache",
    }
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, str(ROOT / "scripts" / "evaluate.py"), str(tmp_path / "media"), *words]


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def rows(page: str, heading: str) -> dict[str, dict[str, str]]:
    """The table under a heading of a Markdown page."""
    lines = [line for line in page.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


def test_page_and_sheet(command: list[str], tmp_path: Path) -> None:
    run(command)
    page = (tmp_path / "docs" / "QUALITY.md").read_text()
    means, pair = rows(page, "Mean over the pairs"), rows(page, "waves")
    assert float(pair["bicubic"]["psnr"]) > 15
    assert float(means["bicubic"]["lpips"]) == float(pair["bicubic"]["lpips"])
    assert {"MMAC", "seconds", "times"} <= means["bicubic"].keys()
    with Image.open(tmp_path / "docs" / "pictures" / "quality.png") as sheet:
        assert sheet.height > 96
        assert np.asarray(sheet).std() > 10


def test_results_in_the_cache_are_not_computed_again(command: list[str], tmp_path: Path) -> None:
    run(command)
    page = (tmp_path / "docs" / "QUALITY.md").read_text()
    (stored,) = (tmp_path / "cache").iterdir()
    with np.load(stored) as entry:
        np.savez(stored, clip=entry["clip"], figures=str(entry["figures"]).replace('"psnr": ', '"psnr": 1'))
    run(command)
    again = (tmp_path / "docs" / "QUALITY.md").read_text()
    assert rows(again, "waves")["bicubic"]["psnr"] == "1" + rows(page, "waves")["bicubic"]["psnr"]
