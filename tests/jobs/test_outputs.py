from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dossr_video.errors import JobError, SettingsError, TargetError
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import FREE
from dossr_video.jobs.outputs import check_outputs
from dossr_video.jobs.progress import Progress, last_note
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.json"  # a name that every check of the extension lets pass
    path.write_bytes(b"film")
    return path


def symlink(path: Path, source: Path) -> Path:
    path.symlink_to(source)
    return path


def hard_link(path: Path, source: Path) -> Path:
    os.link(source, path)
    return path


def respelled(path: Path, source: Path) -> Path:
    (source.parent / "x").mkdir()
    return source.parent / "x" / ".." / source.name


@pytest.mark.parametrize("make", [symlink, hard_link, respelled])
@pytest.mark.parametrize("role", ["source", "target"])
def test_the_source_and_the_result_are_known_by_any_name(
    make: Callable[[Path, Path], Path], role: str, source: Path, tmp_path: Path
) -> None:
    path, other = make(tmp_path / "report.json", source), tmp_path / "other"
    inputs, target = ([other, source], other) if role == "source" else ([other], source)
    with pytest.raises(TargetError, match=r"is (an input|the result) itself"):
        check_outputs([("--json-report", path)], inputs=inputs, target=target, force=True)
    assert source.read_bytes() == b"film"


def test_what_cannot_or_must_not_be_written_is_refused(source: Path, tmp_path: Path) -> None:
    def check(name: str, option: str = "--json-report", *, force: bool = False, **more: str) -> None:
        outputs = [(option, tmp_path / name), *((key, tmp_path / value) for key, value in more.items())]
        check_outputs(outputs, inputs=[source], target=None, force=force)

    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "dangling.json").symlink_to("nothing")
    check("new.json")
    check("there.json", force=True)
    for name, reason in [
        ("there.json", "exists"),
        ("dangling.json", "exists"),
        ("folder.json", "is a folder"),
        ("no/a.json", "not exist"),
    ]:
        with pytest.raises(TargetError, match=reason):
            check(name)
    for name, option in [
        ("film.mp4", "--json-report"),
        ("a.jpg", "--before-after"),
        ("a.json", "--report"),
        ("a.vtt", "--captions"),
    ]:
        with pytest.raises(SettingsError, match="must end in"):
            check(name, option, force=True)
    same = [("--json-report", tmp_path / "a.json"), ("--report", tmp_path / "a.html")]
    check_outputs(same, inputs=[source], target=None, force=False)
    (tmp_path / "a.json").write_text("")
    os.link(tmp_path / "a.json", tmp_path / "a.html")
    with pytest.raises(TargetError, match="name the same file"):
        check_outputs(same, inputs=[source], target=None, force=True)


def test_a_file_url_is_the_file(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    source = tmp_path / "a b.mp4"
    source.write_bytes(clip.read_bytes())
    with pytest.raises(TargetError, match="is an input itself"):
        run_job(source, source.as_uri(), tiny, force=True)
    assert source.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("kind", ["link", "file", "foreign", "links inside", "linked lock"])
def test_a_folder_that_no_job_has_left_is_not_touched(kind: str, clip: Path, tiny: Settings, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "segments").mkdir(parents=True)
    (mine / "lock").write_text("mine")
    (mine / "segments" / "a.txt").write_text("mine")
    folder = tmp_path / "out.mp4.dossr"
    if kind == "link":
        folder.symlink_to(mine)
    elif kind == "file":
        folder.write_text("mine")
    elif kind == "foreign":
        mine.rename(folder)
        (folder / "letter.txt").write_text("mine")
    else:
        folder.mkdir()
        name = "lock" if kind == "linked lock" else "segments"
        (folder / name).symlink_to(mine / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(JobError, match="is needed for the work"):
        run_job(clip, tmp_path / "out.mp4", tiny, force=True, restart=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["segments/notes.txt", "segments/notes.part.txt", "joined/notes.txt", "film.part"])
def test_a_run_keeps_what_somebody_put_into_its_folder_and_names_it(
    name: str, clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    mine = tmp_path / "out.mp4.dossr" / name
    (tmp_path / "out.mp4.dossr" / "segments").mkdir(parents=True)
    (tmp_path / "out.mp4.dossr" / "lock").write_bytes(FREE)
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    events: list[Progress] = []
    run_job(clip, tmp_path / "out.mp4", tiny, restart=True, on_progress=events.append)
    assert mine.read_text() == "mine"
    assert [path for path in (tmp_path / "out.mp4.dossr").rglob("*") if path.is_file()] == [mine]
    assert [w for event in events for w in event.warnings] == [
        f"{tmp_path / 'out.mp4.dossr'} stays: {name} is not of the job"
    ]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("segments", "no folder"),
        ("joined", "no folder"),
        *((name, "a folder") for name in ("plan.json", "ledger.jsonl", "joined.mp4", "lock", "failed")),
        *((name, "a folder") for name in ("progress.json", "report.json", "segments/000007.0123abcd.part.mp4")),
    ],
)
def test_what_is_of_another_kind_in_the_folder_is_named(
    name: str, what: str, clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4.dossr" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine") if what == "no folder" else path.mkdir()
    with pytest.raises(JobError, match=f"{name} is needed for the work, and is {what}"):
        run_job(clip, tmp_path / "out.mp4", tiny, restart=True)
    path.rename(tmp_path / "away")
    run_job(clip, tmp_path / "out.mp4", tiny)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "out.mp4"]


def test_a_note_of_another_kind_is_none(tmp_path: Path) -> None:
    assert last_note(tmp_path) is None


def test_what_somebody_put_into_the_folder_stays(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    folder = JobFolder.beside(tmp_path / "out.mp4", suffix=".mp4")
    with folder.held():
        (folder.path / "letter.txt").write_text("mine")
    assert [path.name for path in folder.path.iterdir()] == ["letter.txt"]
