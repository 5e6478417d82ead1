from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dossr_video.jobs.report import FORMAT, Report
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(json.loads((DOCS / "report.schema.json").read_text()))


@pytest.fixture(scope="module")
def made(clip: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    target = tmp_path_factory.mktemp("report") / "out.mkv"
    return run_job(clip, target, tiny), target


def test_the_report_says_which_file_became_which(made: tuple[Report, Path], clip: Path) -> None:
    report, target = made
    for record, path in ((report.source, clip), (report.target, target)):
        assert record.path == str(path)
        assert record.size == path.stat().st_size
        assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.source.streams[0].startswith("video stream 0 (h264, 32x24, yuv420p, ")
    assert report.source.streams[1].startswith("audio stream 1 (aac")
    assert report.target.streams[0].startswith("video stream 0 (h264, 64x48, yuv420p")
    assert report.target.container.startswith("matroska")


def test_nothing_in_the_report_is_left_open(made: tuple[Report, Path]) -> None:
    settings = json.loads(made[0].dumps())["settings"]
    assert "auto" not in str(settings)
    assert settings["model"]["name"] == "bicubic"
    assert len(settings["model"]["weights"]) == 64
    assert settings["video"]["encoding"]["encoder"] == "libx264"


def test_the_report_tells_machine_versions_and_times(made: tuple[Report, Path]) -> None:
    report, _ = made
    assert report.format == FORMAT
    assert {"dossr-video", "torch", "av", "ffmpeg", "python"} <= report.versions.keys()
    assert all(report.versions.values())
    assert {"system", "processor", "cores"} <= report.machine.keys()
    assert list(report.stages) == ["probing", "loading", "analysing", "upscaling", "joining", "verifying"]
    assert all(seconds >= 0 for seconds in report.stages.values())
    assert sum(report.stages.values()) <= report.seconds
    started, finished = (datetime.fromisoformat(text) for text in (report.started, report.finished))
    assert started <= finished
    assert started.utcoffset() is not None


def test_a_report_comes_back_from_its_json(made: tuple[Report, Path]) -> None:
    report, _ = made
    assert Report.model_validate_json(report.dumps()) == report


def test_damage_is_told_by_its_time(make_clip: Any, tiny: Settings, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "damaged.mp4", [25, 25])
    content = bytearray(source.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 400] = bytes(400)
    source.write_bytes(content)
    report = run_job(source, tmp_path / "out.mkv", tiny)
    told = json.loads(report.dumps())["damage"]
    assert told
    assert all(0 <= place["seconds"] <= place["until"] <= 3 and place["what"] for place in told)


def test_a_report_follows_its_schema_and_leaves_nothing_null(made: tuple[Report, Path], schema: dict[str, Any]) -> None:
    text = made[0].dumps()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)
    assert "null" not in text
    assert '"auto"' not in text
    for name in ("settings", "proof", "versions"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value for key, value in json.loads(text).items() if key != name}, schema)
    page = (DOCS / "REPORT.md").read_text()
    assert all(f"`{field}`" in page for field in Report.model_fields)


def test_the_schema_in_the_docs_is_that_of_the_program(schema: dict[str, Any]) -> None:
    written = subprocess.run(
        [sys.executable, "-c", "import write_report_schema as w; print(w.schema())"],
        cwd=DOCS.parent / "scripts",
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(written) == schema, "run PYTHONPATH=. python scripts/write_report_schema.py"
