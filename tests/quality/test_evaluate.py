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


@pytest.fixture(scope="module")
def command(truth: NDArray[np.uint8], metric_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("evaluate")
    encode(truth, folder / "waves.mkv", crf=None)
    recipes = {"waves": {"clip": "waves.mkv", "height": 96, "kind": "compressed", "seed": 0}}
    (folder / "pairs.yaml").write_text(yaml.safe_dump({"frames": 4, "pairs": recipes, "peers": []}))
    options = {
        "--metric-weights": metric_weights,
        "--model": "bicubic",
        "--frames": 3,
        "--pairs": folder / "pairs.yaml",
        "--page": folder / "docs" / "QUALITY.md",
        "--sheet": folder / "docs" / "pictures" / "quality.png",
        "--cache": folder / "cache",
    }
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, str(ROOT / "scripts" / "evaluate.py"), str(folder), *words]


@pytest.fixture(scope="module")
def evaluated(command: list[str]) -> Path:
    """The folder of a finished run."""
    return run(command)


def run(command: list[str]) -> Path:
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return Path(command[2])


def rows(page: Path, heading: str) -> dict[str, dict[str, str]]:
    """The table under a heading of a Markdown page."""
    section = page.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


def test_page_and_sheet(evaluated: Path) -> None:
    page = evaluated / "docs" / "QUALITY.md"
    means, pair = rows(page, "Mean over the pairs"), rows(page, "waves")
    assert float(pair["bicubic"]["psnr"]) > 15
    assert float(means["bicubic"]["lpips"]) == float(pair["bicubic"]["lpips"])
    assert {"MMAC", "seconds", "times"} <= means["bicubic"].keys()
    with Image.open(evaluated / "docs" / "pictures" / "quality.png") as sheet:
        assert sheet.height > 96
        assert np.asarray(sheet).std() > 10


def test_results_in_the_cache_are_not_computed_again(command: list[str], evaluated: Path) -> None:
    page = evaluated / "docs" / "QUALITY.md"
    before = rows(page, "waves")["bicubic"]["psnr"]
    (stored,) = (evaluated / "cache").iterdir()
    with np.load(stored) as entry:
        np.savez(stored, clip=entry["clip"], figures=str(entry["figures"]).replace('"psnr": ', '"psnr": 1'))
    run(command)
    assert rows(page, "waves")["bicubic"]["psnr"] == "1" + before
