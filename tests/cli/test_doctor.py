from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys

import torch


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
