"""The program without what Windows does not have; there is no Windows here, so the rest is not known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dossr_video.errors import TargetError
from dossr_video.names import problem_on_windows
from dossr_video.ui import folders
from dossr_video.video import files

PRELUDE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import as_windows\n"
EVERYTHING = """
import importlib, pathlib, dossr_video
package = pathlib.Path(dossr_video.__file__).parent
names = {".".join(path.relative_to(package.parent).with_suffix("").parts) for path in package.rglob("*.py")}
for name in sorted(names - {"dossr_video.__main__", "dossr_video.jobs.execute.ray"}):  # Ray for Linux needs pwd
    importlib.import_module(name.removesuffix(".__init__"))
    print(name)
"""
RUN = """
import sys
from pathlib import Path
from dossr_video.cli.commands import main
from dossr_video.errors import Interrupted
from dossr_video.jobs.lock import HeldError, holder, locked
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

source, target = map(Path, sys.argv[1:3])
done = []
settings = Settings(model="bicubic", scale=2, speed="ultrafast", chunk=4, threads=1)
try:
    run_job(source, target, settings, on_progress=done.append,
            cancelled=lambda: any(event.stage == "upscaling" and event.done for event in done))
    raise AssertionError("it was not stopped")
except Interrupted:
    pass
folder = target.with_name(target.name + ".dossr")
assert list((folder / "segments").iterdir())
with locked(folder / "lock"):
    assert holder(folder / "lock") is not None
    try:
        run_job(source, target, settings)
        raise AssertionError("two at once")
    except HeldError:
        pass
sys.argv = ["dossr-video", str(source), str(target), "--model", "bicubic", "--scale", "2", "--speed", "ultrafast",
            "--chunk", "4", "--threads", "1"]
main()
"""


def as_windows(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])


def test_every_module_can_be_imported() -> None:
    # Of psutil, which transformers imports too, this is the part for Linux.
    done = as_windows("import psutil\n" + PRELUDE + EVERYTHING)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 200


def test_a_run_is_stopped_refused_while_it_is_held_and_resumed(
    clip: Path, whole: dict[str, Any], content: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    done = as_windows(PRELUDE + RUN, clip, target)
    assert done.returncode == 0, done.stderr
    assert "from an earlier run" in done.stderr
    assert "segments from an earlier run, the rest in " in done.stderr.splitlines()[-1]
    assert content(target) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("film.mp4", None),
        ("console.mp4", None),
        ("Übergröße 1.mp4", None),
        ("NUL", "NUL is a device of Windows"),
        ("con.mp4", "con is a device of Windows"),
        ("Com1.tar.mkv", "Com1 is a device of Windows"),
        ("lpt¹.mkv", "lpt¹ is a device of Windows"),
        ("12:30.mp4", "Windows takes no : in names"),
        ("..\\film.mp4", "Windows takes no \\ in names"),
        ("what?.mp4", "Windows takes no ? in names"),
        ("film.", "Windows drops a dot or space at the end of a name"),
    ],
)
def test_names_that_windows_takes_for_something_else(name: str, problem: str | None) -> None:
    assert problem_on_windows(name) == problem


def test_such_a_name_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(folders, "WINDOWS", True)
    with pytest.raises(TargetError, match=r"nul\.mp4 cannot be written: nul is a device of Windows"):
        files.require_place(tmp_path / "nul.mp4", force=True)
    with pytest.raises(TargetError, match="Windows takes no"):
        folders.plain_name("..\\film.mp4")
