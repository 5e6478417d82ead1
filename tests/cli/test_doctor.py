from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from email.message import Message
from pathlib import Path

import pytest
import torch

from dossr_video.doctor import _extras

ROOT = Path(__file__).parents[2]


def test_tells_what_the_machine_has_and_how_to_get_the_rest() -> None:
    command = [sys.executable, "-m", "dossr_video", "doctor", "--json"]
    findings = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    by_topic = {finding["topic"]: finding for finding in findings}
    assert torch.__version__ in by_topic["torch"]["found"]
    assert importlib.metadata.version("av") in by_topic["ffmpeg"]["found"]
    assert "libx264" in by_topic["encoders"]["found"]
    assert by_topic["speed"]["found"].startswith("about ")
    found = [finding for finding in findings if finding["topic"] == "extra"]
    extras = {finding["found"].partition(":")[0]: finding["remedy"] for finding in found}
    assert (extras["ray"] is None) == (importlib.util.find_spec("ray") is not None)
    assert (extras["s3"] is None) == (importlib.util.find_spec("s3fs") is not None)
    assert extras["s3"] in (None, 'pip install "dossr-video[s3]"')


def test_every_extra_of_the_project_is_told_and_in_the_guide() -> None:
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, about = project["optional-dependencies"], Message()
    for name, requirements in extras.items():
        about["Provides-Extra"] = name
        for requirement in requirements:
            package, _, marker = requirement.partition(";")
            about["Requires-Dist"] = f'{package}; {f"({marker}) and " if marker else ""}extra == "{name}"'
    about["Provides-Extra"] = "nowhere"
    about["Requires-Dist"] = "numpy; python_version < '3' and extra == 'nowhere'"
    told = dict(finding.found.split(": ") for finding in _extras(about))
    assert told.keys() == {*extras, "nowhere"} - {"test"}
    assert told["nowhere"].startswith("not for Python ")
    guide = (ROOT / "docs" / "install.md").read_text().partition("## Extras")[2].partition("\n## ")[0]
    assert [name for name in extras if name != "test" and f"`{name}`" not in guide] == []
