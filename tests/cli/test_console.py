"""What a person sees at a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dossr_video.cli.signals import interruptible

TERMINAL = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}


def at_a_terminal(*arguments: str | Path, columns: int = 120) -> tuple[int, str]:
    """Exit code and screen of the command."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dossr_video", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**TERMINAL, "COLUMNS": str(columns)}
    ) as process:
        os.close(theirs)
        screen = b""
        try:
            while content := os.read(ours, 1 << 16):
                screen += content
        except OSError:  # how Linux tells that the other end is closed
            pass
        os.close(ours)
    return process.returncode, screen.decode()


def test_a_bar_is_drawn_from_the_first_moment_whatever_the_name(tmp_path: Path, sample: Path) -> None:
    """While the file is looked at, the number of frames is not known."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "[restored] [b].mp4").write_bytes(sample.read_bytes())
    options = (tmp_path / "in", tmp_path / "out", "--model", "bicubic", "--duration", "0.2")
    code, screen = at_a_terminal("batch", *options)
    assert code == 0, screen
    assert "starting" in screen
    assert "0/? frames" in screen
    assert "5/5 frames" in screen
    assert "1/1 [restored] [b].mp4: upscaling" in screen
    assert "1 done" in screen


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, sample: Path, columns: int) -> None:
    source = tmp_path / ("a very long name of a tape " * 3 + ".mp4")
    source.write_bytes(sample.read_bytes())
    (tmp_path / "in").mkdir()
    source.rename(tmp_path / "in" / source.name)
    options = ("batch", tmp_path / "in", tmp_path / "out", "--model", "bicubic", "--duration", "0.2")
    code, screen = at_a_terminal(*options, columns=columns)
    assert code == 0, screen
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-ln-z]", screen)]
    plain = [line for line in lines if re.search(r"\d+%", line)]
    assert plain
    assert max(map(len, plain)) <= columns
    assert any("100%" in line for line in plain)


def test_json_lines_are_the_events_of_a_run(tmp_path: Path, sample: Path) -> None:
    command = [sys.executable, "-m", "dossr_video", sample, tmp_path / "out.mp4", "--model", "bicubic", "--end", "0.2"]
    done = subprocess.run([*map(str, command), "--progress", "json"], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    last = [event for event in events if event["stage"] == "upscaling"][-1]
    assert (last["done"], last["total"], last["unit"]) == (5, 5, "frames")
    assert next(note for event in events for note in event["notes"]).endswith("25 fps")
    assert {"analysing", "upscaling", "verifying"} <= {event["stage"] for event in events}


def test_a_log_holds_what_was_said_and_grows(tmp_path: Path, sample: Path) -> None:
    command = [sys.executable, "-m", "dossr_video", sample, tmp_path / "out.mp4", "--model", "bicubic", "--end", "0.2"]
    for _ in range(2):  # the second run finds the result
        subprocess.run([*map(str, command), "--log", tmp_path / "log"], capture_output=True, check=False)
    text = (tmp_path / "log").read_text()
    assert "model bicubic (named in the options)" in text
    assert "5 frames, shots: 1" in text
    assert "result: " in text
    assert "out.mp4 exists" in text


def test_a_log_is_complete_beside_lines_of_json(tmp_path: Path, sample: Path) -> None:
    command = [sys.executable, "-m", "dossr_video", sample, tmp_path / "out.mkv", "--model", "bicubic", "--end", "0.2"]
    command += ["--progress", "json", "--log", tmp_path / "log"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    notes = [note for line in done.stdout.splitlines() for note in json.loads(line)["notes"]]
    text = (tmp_path / "log").read_text()
    assert notes
    assert all(note in text for note in notes)
    assert "verifying: 5/5 frames" in text
    assert "verifying: 5/5 frames" not in done.stderr


def test_a_log_that_cannot_be_written_is_an_error_before_the_work(tmp_path: Path, sample: Path) -> None:
    command = [sys.executable, "-m", "dossr_video", sample, tmp_path / "out.mp4", "--log", tmp_path / "no" / "log"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--log" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_not_appended_to_a_film(tmp_path: Path, sample: Path) -> None:
    film = tmp_path / "in.mp4"
    film.write_bytes(sample.read_bytes())
    command = [sys.executable, "-m", "dossr_video", film, tmp_path / "out.mp4", "--log", film]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is no log" in done.stderr
    assert film.read_bytes() == sample.read_bytes()


def test_a_run_stops_like_ctrl_c_at_sigterm_and_sighup_and_pauses_at_sigusr1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may be under nohup
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell leaves it to what runs in the background
        with interruptible() as cancelled:
            assert not cancelled()
            signal.raise_signal(number)
            assert cancelled()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        for stop, handler in before.items():
            signal.signal(stop, handler)
    with interruptible() as cancelled:
        signal.raise_signal(signal.SIGUSR1)
        assert "paused" in capsys.readouterr().err
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(cancelled()))
        thread.start()
        time.sleep(0.3)
        assert not answers
        signal.raise_signal(signal.SIGUSR1)
        thread.join()
        assert answers == [False]


def test_a_process_that_is_ended_in_the_middle_is_reported(tmp_path: Path) -> None:
    code = "from dossr_video.cli.watch import watched; import os; watched({})"
    for end, said in [("os.abort", True), ("lambda: os.kill(os.getpid(), 9)", True), ("lambda: exit(3)", False)]:
        done = subprocess.run([sys.executable, "-c", code.format(end)], capture_output=True, text=True, check=False)
        assert ("error: dossr-video was ended in the middle" in done.stderr) == said
        assert done.returncode != 0
