"""Commands that only look at files begin at once: what takes a second and more to import is left out of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("torch", "torchvision", "diffusers", "transformers", "ncnn", "ray", "matplotlib")

CHECK = f"""
import sys
from dossr_video.cli.commands import main
sys.argv[0] = "dossr-video"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
"""


COMMANDS = (
    "--help", "upscale --help-all", "probe {sample}", "shots {sample}", "status {folder}", "presets",
    "presets show vhs",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_slow_is_imported(command: str, sample: Path, tmp_path: Path) -> None:
    arguments = command.format(sample=sample, folder=tmp_path).split()
    run = subprocess.run([sys.executable, "-c", CHECK, *arguments], capture_output=True, text=True, check=True)
    assert run.stdout
    assert run.stderr.strip().endswith("[]")
