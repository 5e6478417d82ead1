"""Commands that only look at files begin at once: what takes a second and more to import is left out of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
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


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_early_says_nothing_of_a_crash(number: signal.Signals, sample: Path) -> None:
    command = [sys.executable, "-m", "dossr_video", "probe", str(sample)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not _catches(process.pid, number):
            time.sleep(0.001)
        process.send_signal(number)
        said = process.communicate()[1]
    assert (process.returncode, said) == (130, "error: stopped at once\nhint: give the same command again\n")


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
