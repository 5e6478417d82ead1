from __future__ import annotations

import errno
import importlib
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import pytest

from dossr_video.cli.library import KINDS
from dossr_video.errors import Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import locked
from dossr_video.jobs.progress import Item, Progress
from dossr_video.jobs.run import run_job
from dossr_video.library import batch, pages, sqlite
from dossr_video.library import work as file_work
from dossr_video.library.batch import Batch
from dossr_video.library.catalogue import Catalogue
from dossr_video.library.files import Library
from dossr_video.library.opening import open_catalogue
from dossr_video.library.pages import INDEX, read_report
from dossr_video.library.status import status
from dossr_video.library.work import FileWork, Outcome
from dossr_video.names import coded, decoded, shown
from dossr_video.settings import Settings
from dossr_video.video.write.containers import CONTAINERS, SEQUENCES

MakeClip = Callable[..., Path]


@pytest.fixture(scope="module")
def short(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("short") / "short.mp4", [5])


@pytest.fixture
def folder(short: Path, tmp_path: Path) -> Path:
    """Three good files, one of them deeper; one that is no video in spite of its name; things to leave alone."""
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.mp4", "b.avi", "deep/er/c.mkv", ".hidden.mp4", "deep/d.txt"):
        shutil.copyfile(short, folder / name)
    (folder / "bad.mov").write_bytes(b"this is no video")
    return folder


def verdicts(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.source.name: outcome.verdict for outcome in outcomes}


def tree(folder: Path) -> list[str]:
    """The results; their reports and pages are left out."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".html", ".json"))
    return sorted(p.relative_to(folder).as_posix() for p in files if p.name[0] != ".")


def test_does_a_library_and_mirrors_its_tree(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    seen: list[Outcome] = []
    library = Library(folder, tmp_path / "out", recursive=True)
    events: list[Progress] = []
    outcomes = Batch(library, tiny).run(on_outcome=seen.append, on_progress=events.append, executor=executor)
    assert seen == outcomes
    items = dict.fromkeys(event.item for event in events)
    names = ["a.mp4", "b.avi", "bad.mov", "c.mkv"]
    assert list(items) == [Item(name, number, 4) for number, name in enumerate(names, start=1)]
    assert verdicts(outcomes) == {"a.mp4": "done", "b.avi": "done", "bad.mov": "failed", "c.mkv": "done"}
    assert tree(tmp_path / "out") == ["a.mp4", "b.avi.mkv", "deep/er/c.mkv"]
    failed = outcomes[2]
    assert failed.error is not None
    assert "is not a video" in failed.error
    assert failed.hint


def test_a_second_run_does_only_what_is_new_or_has_changed_or_failed(
    folder: Path, tiny: Settings, executor: LocalExecutor, short: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    work = Batch(Library(folder, tmp_path / "out"), tiny)
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done", "b.avi": "done", "bad.mov": "failed"}
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "unchanged", "b.avi": "unchanged", "bad.mov": "failed"}
    os.utime(folder / "a.mp4")  # only its date is new
    make_clip(folder / "b.avi", [6], seed=9)
    shutil.copyfile(short, folder / "new.mp4")
    shutil.copyfile(short, folder / "bad.mov")
    assert verdicts(work.run(executor=executor)) == {
        "a.mp4": "unchanged", "b.avi": "done", "bad.mov": "done", "new.mp4": "done"
    }  # fmt: skip
    (tmp_path / "out" / "a.mp4").unlink()
    assert verdicts(work.run(executor=executor))["a.mp4"] == "done"


def test_a_file_that_was_edited_in_place_is_done_again(
    folder: Path, tiny: Settings, executor: LocalExecutor, edit: Callable[[Path], None], tmp_path: Path
) -> None:
    library = Library(folder, tmp_path / "out", include=("a.*",))
    source = folder / "a.mp4"
    source.write_bytes(source.read_bytes() + bytes(4_000_000))
    work = Batch(library, tiny)
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}
    os.utime(source, (1, 1))
    assert not list(work.to_do())
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "unchanged"}
    edit(source)
    assert list(work.to_do()) == [source]
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "unchanged"}
    (tmp_path / "out" / "a.mp4.json").unlink()  # nothing says what it was made of
    os.utime(source, (1, 1))
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}


def test_other_settings_do_the_library_again(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    library = Library(folder, tmp_path / "out", exclude=("bad*",))
    Batch(library, tiny).run(executor=executor)
    same, other = tiny.model_copy(update={"chunk": 2}), tiny.model_copy(update={"crf": 30.0})
    assert set(verdicts(Batch(library, same).run(executor=executor)).values()) == {"unchanged"}
    assert set(verdicts(Batch(library, other).run(executor=executor)).values()) == {"done"}


def test_a_file_that_somebody_put_among_the_results_is_not_overwritten(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_bytes(b"mine")
    library = Library(folder, tmp_path / "out", include=("a.*",))
    [outcome] = Batch(library, tiny).run(executor=executor)
    assert outcome.verdict == "failed"
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"mine"
    [outcome] = Batch(library, tiny, force=True).run(executor=executor)
    assert outcome.verdict == "done"


def test_a_result_that_was_edited_since_is_not_overwritten(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    library, target = Library(folder, tmp_path / "out", include=("a.*",)), tmp_path / "out" / "a.mp4"
    Batch(library, tiny).run(executor=executor)
    edited = bytearray(target.read_bytes())
    edited[-1] ^= 1  # the size stays
    target.write_bytes(edited)
    work = Batch(library, tiny.model_copy(update={"crf": 30.0}))
    [outcome] = work.run(executor=executor)
    assert outcome.verdict == "failed"
    assert outcome.error is not None
    assert "changed since it was made" in outcome.error
    assert target.read_bytes() == edited
    [outcome] = work.run(executor=executor)  # the catalogue remembers what it made
    assert outcome.verdict == "failed"
    [outcome] = replace(work, force=True).run(executor=executor)
    assert outcome.verdict == "done"


@pytest.mark.parametrize("killed", ["named", "noted", "cleared"])
def test_a_run_killed_when_a_result_had_its_name_is_done(
    killed: str,
    folder: Path,
    tiny: Settings,
    executor: LocalExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library, target = Library(folder, tmp_path / "out", include=("a.*",)), tmp_path / "out" / "a.mp4"

    def kill(*arguments: object, **values: object) -> None:
        raise KeyboardInterrupt

    place, step = {"named": (Catalogue, "finish"), "noted": (JobFolder, "clear"), "cleared": (JobFolder, "_remove")}[
        killed
    ]
    monkeypatch.setattr(place, step, kill)
    with pytest.raises(KeyboardInterrupt):
        Batch(library, tiny).run(executor=executor)
    monkeypatch.undo()
    made = target.stat().st_mtime_ns
    [outcome] = Batch(library, tiny).run(executor=executor)
    assert outcome.verdict == ("done" if killed == "named" else "unchanged")
    assert target.stat().st_mtime_ns == made
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.name[0] != ".") == [
        *["a.mp4", "a.mp4.html", "a.mp4.json", "dossr-video.html"]
    ]
    [outcome] = Batch(library, tiny).run(executor=executor)
    assert outcome.verdict == "unchanged"


def test_a_file_that_crashes_the_libraries_is_an_outcome_and_the_others_are_done(
    short: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package that is tested, which need not be the one that is installed.
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(map(str, (Path(__file__).parent, Path(batch.__file__).parents[2])))
    )
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(batch, "FileWork", importlib.import_module("crashing").Crashing)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "crash.mp4", "z.mp4"):
        shutil.copyfile(short, folder / name)
    outcomes = Batch(Library(folder, tmp_path / "out"), tiny).run()
    assert verdicts(outcomes) == {"a.mp4": "done", "crash.mp4": "crashed", "z.mp4": "done"}
    assert "SIGABRT" in str(outcomes[1].error)
    entry = open_catalogue(tmp_path / "out", None).get("crash.mp4")
    assert entry is not None
    assert (entry.state, entry.error) == ("crashed", outcomes[1].error)
    assert tree(tmp_path / "out") == ["a.mp4", "z.mp4"]


def test_a_locked_catalogue_costs_only_the_file(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WAIT", 0.0)
    work = Batch(Library(folder, tmp_path / "out", include=("a.*", "b.*")), tiny)
    work.run(executor=executor)
    lock = sqlite3.connect(tmp_path / "out" / sqlite.NAME, isolation_level=None)

    def hold(outcome: Outcome) -> None:
        lock.execute("ROLLBACK")

    do = FileWork.do

    def do_locked(self: FileWork, source: Path, **hooks: Any) -> Outcome:
        if source.name == "a.mp4":
            lock.execute("BEGIN EXCLUSIVE")
        return do(self, source, **hooks)

    monkeypatch.setattr(FileWork, "do", do_locked)
    again = replace(work, settings=tiny.model_copy(update={"crf": 30.0}))
    first, second = again.run(executor=executor, on_outcome=lambda outcome: lock.in_transaction and hold(outcome))
    lock.close()
    assert (first.verdict, second.verdict) == ("failed", "done")
    assert "locked" in str(first.error)


def test_two_sources_of_one_result_are_not_mixed_up(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copyfile(short, folder / "a.avi")
    shutil.copyfile(short, folder / "a.avi.mkv")
    outcomes = Batch(Library(folder, tmp_path / "out"), tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.avi": "done", "a.avi.mkv": "failed"}
    assert outcomes[1].error == "a.avi.mkv is already the result of a.avi"
    (folder / "a.avi").rename(folder / "b.avi")  # as the hint says
    outcomes = Batch(Library(folder, tmp_path / "out"), tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.avi.mkv": "failed", "b.avi": "done"}
    assert outcomes[0].error == f"{tmp_path / 'out' / 'a.avi.mkv'} exists"  # the result of what was a.avi
    (tmp_path / "out" / "a.avi.mkv").unlink()
    outcomes = Batch(Library(folder, tmp_path / "out"), tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.avi.mkv": "done", "b.avi": "unchanged"}


def test_without_its_catalogue_results_are_known_by_their_reports(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder, results = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copyfile(short, folder / name)
    Batch(Library(folder, results), tiny).run(executor=executor)
    for path in results.glob(".dossr-video*"):
        path.unlink()
    (results / "b.mp4").write_bytes(b"edited")
    with (folder / "c.mp4").open("ab") as file:
        file.write(b"another source")
    made = (results / "a.mp4").stat()
    outcomes = Batch(Library(folder, results), tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.mp4": "unchanged", "b.mp4": "failed", "c.mp4": "failed"}
    assert (results / "a.mp4").stat() == made
    other = Batch(Library(folder, results), tiny.model_copy(update={"crf": 30.0})).run(executor=executor)
    assert verdicts(other)["a.mp4"] == "done"  # in the catalogue again: other options do it again


def test_restart_drops_no_segments_that_are_of_use(
    make_clip: MakeClip, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder, results = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("one.mp4", "two.mp4"):
        make_clip(folder / name, [5, 6])

    def interrupted(name: str) -> None:
        done = [0]

        def note(event: Progress) -> None:
            done.append(event.done if event.stage == "upscaling" else 0)

        with pytest.raises(Interrupted):
            run_job(
                folder / name,
                results / name,
                tiny,
                executor=executor,
                on_progress=note,
                cancelled=lambda: max(done) > 4,
            )

    results.mkdir()
    interrupted("one.mp4")
    interrupted("two.mp4")
    make_clip(folder / "one.mp4", [5, 7])  # replaced while it was in work
    outcomes = Batch(Library(folder, results), tiny, restart=True).run(executor=executor)
    assert verdicts(outcomes) == {"one.mp4": "done", "two.mp4": "done"}
    reports = [read_report(results / name) for name in ("one.mp4", "two.mp4")]
    assert [report.resumed for report in reports if report is not None] == [0, 1]


def test_a_page_of_somebody_else_is_no_index(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder, index = tmp_path / "in", tmp_path / "out" / INDEX
    for path in (folder, index.parent):
        path.mkdir()
    shutil.copyfile(short, folder / "a.mp4")
    index.write_text("mine")
    work = Batch(Library(folder, index.parent), tiny)
    with pytest.raises(TargetError, match="was not written by dossr-video"):
        work.run(executor=executor)
    assert index.read_text() == "mine"
    index.unlink()
    for _ in range(2):
        work.run(executor=executor)
        assert "a.mp4" in index.read_text()


def test_a_defect_in_one_file_does_not_stop_the_rest(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job = file_work.run_job

    def fail(source: Path, *arguments: Any, **options: Any) -> Any:
        if source.name == "a.mp4":
            raise ZeroDivisionError("defect")
        return run_job(source, *arguments, **options)

    monkeypatch.setattr(file_work, "run_job", fail)
    outcomes = Batch(Library(folder, tmp_path / "out"), tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.mp4": "failed", "b.avi": "done", "bad.mov": "failed"}
    assert outcomes[0].error == "ZeroDivisionError: defect"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no UTF-8")
def test_names_of_any_kind_are_done_and_remembered(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = [
        b"caf\xe9.mp4",
        "\u6620\u753b %d 'q'.mp4".encode(),
        b"two\nlines.mp4",
        b"-dash [b].mp4",
        b"n" * 245 + b".mp4",
    ]
    names += [b"n" * 246 + b".mp4", b"n" * 248 + b".avi"]
    for name in names:
        shutil.copyfile(short, folder / os.fsdecode(name))
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "up").symlink_to("..")
    work = Batch(Library(folder, tmp_path / "out", recursive=True), tiny)
    first = {os.fsencode(o.source.name): o for o in work.run(executor=executor)}
    assert {name: first[name].verdict for name in names} == {
        name: "done" if len(name) <= 249 else "failed" for name in names
    }
    assert first[b"loop.mp4"].verdict == "failed"  # a link to no file
    assert "has 250 bytes; 249 are allowed" in str(first[names[5]].error)
    assert "cannot be a file: File name too long" in str(first[names[6]].error)
    assert all((tmp_path / "out" / os.fsdecode(name)).exists() for name in names[:5])
    assert all((tmp_path / "out" / os.fsdecode(name + b".html")).exists() for name in names[:5])
    assert sorted(o.verdict for o in work.run(executor=executor)) == ["failed"] * 3 + ["unchanged"] * 5
    stored = {entry.source for entry in open_catalogue(tmp_path / "out", None).entries()}
    assert {"caf\\xe9.mp4", "two\\nlines.mp4"} <= stored


ALIKE = [b"a\xe9.mp4", rb"a\xe9.mp4", b"b\n.mp4", rb"b\n.mp4", "c\u00a0.mp4".encode(), b"c\xa0.mp4", rb"d\q.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_look_alike_are_files_of_their_own(
    short: Path, make_clip: MakeClip, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(ALIKE):
        make_clip(folder / os.fsdecode(name), [4 + seed], seed=seed)
    work = Batch(Library(folder, tmp_path / "out"), tiny)
    assert {outcome.verdict for outcome in work.run(executor=executor)} == {"done"}
    assert {outcome.verdict for outcome in work.run(executor=executor)} == {"unchanged"}
    entries = {decoded(entry.source): entry for entry in status(tmp_path / "out").done}
    assert {os.fsencode(name): entry.frames for name, entry in entries.items()} == {
        name: 4 + seed for seed, name in enumerate(ALIKE)
    }
    index = (tmp_path / "out" / INDEX).read_text()
    assert all(f'href="{quote(name)}.html"' in index for name in ALIKE)
    assert len(status(tmp_path / "out" / os.fsdecode(ALIKE[1])).done) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_catalogue_with_the_names_of_an_older_program_goes_on(
    make_clip: MakeClip, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = [rb"a\xe9.mp4", b"b\xe9.mp4", "c\u00a0.mp4".encode(), b"plain.mp4"]
    for seed, name in enumerate(names):
        make_clip(folder / os.fsdecode(name), [4 + seed], seed=seed)
    work = Batch(Library(folder, tmp_path / "out"), tiny)
    work.run(executor=executor)
    database = open_catalogue(tmp_path / "out", None).database
    for name in names:
        path = os.fsdecode(name)
        database.change(
            "UPDATE dossr_files SET source = ?, target = ? WHERE source = ?", *[shown(path)] * 2, coded(path)
        )
    for report in (tmp_path / "out").glob("*.json"):
        report.unlink()  # by which it would know them, too
    assert {outcome.verdict for outcome in work.run(executor=executor)} == {"unchanged"}
    assert {decoded(entry.target) for entry in status(tmp_path / "out").done} == set(map(os.fsdecode, names))


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_done(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def refuse(path: Any = ".") -> Any:
        if isinstance(path, Path) and path.name == "er":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    work = Batch(Library(folder, tmp_path / "out", recursive=True), tiny)
    found = work.run(executor=executor)
    assert verdicts(found) == {"a.mp4": "done", "b.avi": "done", "bad.mov": "failed", "er": "failed"}
    assert [path.name for path in work.to_do()] == ["bad.mov", "er"]


def test_a_link_to_a_file_that_is_not_there_is_told(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    (folder / "away.mp4").symlink_to(tmp_path / "disk" / "away.mp4")
    (folder / "away.txt").symlink_to(tmp_path / "disk" / "away.txt")
    found = Batch(Library(folder, tmp_path / "out"), tiny).run(executor=executor)
    assert verdicts(found) == {"a.mp4": "done", "b.avi": "done", "away.mp4": "failed", "bad.mov": "failed"}


def test_a_source_is_never_overwritten_even_where_the_results_hold_the_sources(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    sources = tmp_path / "tapes"
    (sources / "tapes").mkdir(parents=True)
    for name in ("a.mp4", "tapes/a.mp4"):  # the result of the second would be the first
        shutil.copyfile(short, sources / name)
    outcomes = Batch(Library(sources, tmp_path, recursive=True), tiny, force=True).run(executor=executor)
    assert [outcome.verdict for outcome in outcomes] == ["done", "failed"]
    assert "lies among the sources" in str(outcomes[1].error)
    assert (sources / "a.mp4").read_bytes() == short.read_bytes()


def test_what_another_process_works_on_is_left_to_it(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    library = Library(folder, tmp_path / "out")
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out" / "a.mp4.dossr" / "lock"):
        outcomes = Batch(library, tiny).run(executor=executor)
    assert verdicts(outcomes) == {"a.mp4": "busy", "b.avi": "done", "bad.mov": "failed"}


def test_two_processes_share_a_library(
    folder: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "POLL", 0.2)
    work = Batch(Library(folder, tmp_path / "out", recursive=True, exclude=("bad*",)), tiny)
    results: list[list[Outcome]] = []
    threads = [threading.Thread(target=lambda: results.append(work.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [verdicts(outcomes) for outcomes in results]
    assert len(found) == 2
    for name in ("a.mp4", "b.avi", "c.mkv"):
        assert sorted(each[name] for each in found) == ["done", "unchanged"], name
    assert {entry.state for entry in open_catalogue(tmp_path / "out", None).entries()} == {"done"}


def test_a_folder_that_another_process_removes_at_this_moment_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder.beside(tmp_path / "out.mp4", suffix=".mp4")
    folder.path.mkdir()
    look = Path.lstat

    def lstat(self: Path) -> os.stat_result:
        found = look(self)
        if self == folder.path:
            folder.path.rmdir()
        return found

    monkeypatch.setattr(Path, "lstat", lstat)
    with folder.held():
        assert folder.lock.exists()


def test_ctrl_c_between_files_and_on_again(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    work = Batch(Library(folder, tmp_path / "out"), tiny)
    seen: list[Outcome] = []
    with pytest.raises(Interrupted, match="stopped after 1 files"):
        work.run(on_outcome=seen.append, cancelled=lambda: len(seen) == 1, executor=executor)
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "unchanged", "b.avi": "done", "bad.mov": "failed"}


def test_watches_a_drop_folder_until_stopped(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "POLL", 0.05)
    folder, seen = tmp_path / "in", []
    folder.mkdir()
    content = short.read_bytes()
    (folder / "growing.mp4").write_bytes(content[:1000])

    def work() -> None:
        Batch(Library(folder, tmp_path / "out"), tiny).run(
            watch=True, on_outcome=seen.append, cancelled=lambda: len(seen) == 2, executor=executor
        )

    thread = threading.Thread(target=work)
    thread.start()
    for size in range(2000, len(content), 1000):  # never the same size in two looks
        (folder / "growing.mp4").write_bytes(content[:size])
        time.sleep(0.02)
    (folder / "growing.mp4").write_bytes(content)
    while not seen:
        time.sleep(0.02)
    shutil.copyfile(short, folder / "later.mp4")
    thread.join()
    assert [(o.source.name, o.verdict) for o in seen] == [("growing.mp4", "done"), ("later.mp4", "done")]


@pytest.mark.parametrize("watch", [False, True])
def test_a_file_that_cannot_be_looked_at_is_told_and_the_rest_done(
    watch: bool, short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "POLL", 0.05)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "stale.mp4", "far.mp4", "z%d.mp4"):
        shutil.copyfile(short, folder / name)
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "link.mp4").symlink_to("far.mp4")
    looked, failing = os.stat, {"stale.mp4": errno.ESTALE, "link.mp4": errno.EACCES, "z%d.mp4": errno.EIO}

    def stat(path: Any, **options: Any) -> os.stat_result:
        if (
            not isinstance(path, int)
            and (number := failing.get(Path(path).name))
            and options != {"follow_symlinks": False}
        ):
            raise OSError(number, os.strerror(number), str(path))
        return looked(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    work, seen = Batch(Library(folder, tmp_path / "out"), tiny), list[Outcome]()

    def enough() -> bool:
        if len(seen) == 6 and failing:  # it comes back, and is done
            failing.clear()
        return len(seen) == 9

    work.run(watch=watch, on_outcome=seen.append, cancelled=enough if watch else bool, executor=executor)
    first = {outcome.source.name: outcome for outcome in seen[:6]}
    names = ["a.mp4", "far.mp4", "link.mp4", "loop.mp4", "stale.mp4", "z%d.mp4"]
    assert list(first) == names
    failed = {name: outcome.error for name, outcome in first.items() if outcome.verdict == "failed"}
    assert failed == {
        name: f"{folder / name}: {os.strerror(number)}"
        for name, number in (
            ("link.mp4", errno.EACCES),
            ("loop.mp4", errno.ELOOP),
            ("stale.mp4", errno.ESTALE),
            ("z%d.mp4", errno.EIO),
        )
    }
    later = {outcome.source.name: outcome.verdict for outcome in seen[6:]}
    assert later == (dict.fromkeys(("link.mp4", "stale.mp4", "z%d.mp4"), "done") if watch else {})


def test_a_source_that_is_removed_while_it_is_worked_on(
    clip: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    source, target = tmp_path / "in" / "a.mp4", tmp_path / "out" / "a.mp4"
    source.parent.mkdir()
    shutil.copyfile(clip, source)

    def remove(event: Progress) -> None:
        if event.stage == "upscaling" and event.done > 20:
            source.unlink(missing_ok=True)

    work = Batch(Library(source.parent, target.parent), tiny)
    [outcome] = work.run(executor=executor, on_progress=remove)
    hint = f"put it back and give the same command again to go on, or remove {target}.dossr, which holds the work on it"
    assert (outcome.verdict, outcome.error, outcome.hint) == ("failed", f"{source} is gone", hint)
    known = status(target.parent)
    assert [(entry.error, entry.hint) for entry in known.failed] == [(outcome.error, hint)]
    assert known.jobs == ()  # it is counted once
    shutil.copyfile(clip, source)
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}
    report = read_report(target)
    assert report is not None
    assert report.resumed > 0


def test_the_index_is_named_where_it_is_written(
    folder: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, named = Batch(Library(folder, tmp_path / "out", include=("a.*",)), tiny), list[str]()
    work.run(executor=executor, on_index=named.append)
    assert named == [str(tmp_path / "out" / INDEX)]
    events: list[Progress] = []

    def fail(*arguments: Any, **options: Any) -> None:
        raise TargetError("the disk is full", hint="free some space")

    monkeypatch.setattr(pages, "write_index", fail)
    work.run(executor=executor, on_index=named.append, on_progress=events.append)
    assert len(named) == 1
    assert "the disk is full" in [warning for event in events for warning in event.warnings]


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    folder = tmp_path / "wide"
    for name in ("a.mp4", "b.AVI", "x/c.mkv", "x/y/d.mov", "x/e.txt", ".z/f.mp4", "out/g.mp4", "h.mp4.dossr/i.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["a.mp4", "b.AVI"]),
        ({"recursive": True}, ["a.mp4", "b.AVI", "x/c.mkv", "x/y/d.mov"]),
        ({"recursive": True, "include": ("*.txt",)}, ["x/e.txt"]),
        ({"recursive": True, "include": ("x/*",), "exclude": ("*.txt",)}, ["x/c.mkv", "x/y/d.mov"]),
        ({"recursive": True, "exclude": ("x/y/*", "a.*")}, ["b.AVI", "x/c.mkv"]),
    ],
)
def test_finds_the_files_of_a_library(wide: Path, options: dict[str, Any], names: list[str]) -> None:
    library = Library(wide, wide / "out", **options)
    assert [library.name_of(path) for path in library.files()] == names


def test_a_folder_of_scans_is_one_source(tiny: Settings, executor: LocalExecutor, tmp_path: Path) -> None:
    for name in ("reel 1/scan_%04d.dpx", "reel 2/%04d.dpx", "stills/photo%d.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        with av.open(str(tmp_path / "in" / name), "w", format="image2") as made:
            video = made.add_stream("dpx" if name.endswith(".dpx") else "mjpeg", rate=24)
            video.width, video.height, video.pix_fmt = 32, 32, "rgb24" if name.endswith(".dpx") else "yuvj420p"
            for level in (40, 80, 120):
                made.mux(video.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), level, np.uint8))))
            made.mux(video.encode())
    library = Library(tmp_path / "in", tmp_path / "out")
    names = ["reel 1/scan_%04d.dpx", "reel 2/%04d.dpx"]
    assert [library.name_of(path) for path in library.files()] == names
    settings = tiny.model_copy(update={"fps": "18"})
    outcomes = Batch(library, settings).run(executor=executor)
    assert [outcome.verdict for outcome in outcomes] == ["done", "done"]
    assert tree(tmp_path / "out") == ["reel 1/scan.dpx.mkv", "reel 2/reel 2.dpx.mkv"]
    again = Batch(library, settings).run(executor=executor)
    assert [outcome.verdict for outcome in again] == ["unchanged", "unchanged"]
    photos = Library(tmp_path / "in", tmp_path / "out", include=("*.jpg",))
    assert [photos.name_of(path) for path in photos.files()] == ["stills/photo%d.jpg"]


def test_folders_that_cannot_be_a_library_are_refused(tmp_path: Path, tiny: Settings, executor: LocalExecutor) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="is not a folder"):
        Library(tmp_path / "no", tmp_path / "out")
    with pytest.raises(TargetError, match="is not a folder"):
        Library(tmp_path, tmp_path / "file")
    with pytest.raises(TargetError, match="is the folder of the sources"):
        Library(tmp_path, tmp_path / "x" / "..")
    with pytest.raises(TargetError, match="cannot be made"):
        Batch(Library(tmp_path, tmp_path / "file" / "deeper"), tiny).run(executor=executor)


def test_tracks_of_one_film_are_refused(tmp_path: Path, tiny: Settings) -> None:
    settings = tiny.model_copy(update={"audio": ("tone.wav",)})
    with pytest.raises(SettingsError, match="--audio names the tracks of one film"):
        Batch(Library(tmp_path, tmp_path / "results"), settings)


def test_the_status_passes_by_a_folder_that_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4.dossr", "gone", "z/b.mp4.dossr"):
        (tmp_path / name).mkdir(parents=True)
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "gone":
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = status(tmp_path)
    assert [job.target.relative_to(tmp_path).as_posix() for job in found.jobs] == ["a.mp4", "z/b.mp4"]


def test_all_results_may_be_pictures_or_of_one_container(
    short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "reel 50%d").mkdir(parents=True)
    shutil.copyfile(short, folder / "a.mp4")
    plain = tiny.model_copy(update={"speed": None})
    run_job(short, folder / "reel 50%d" / "scan_%04d.dpx", plain.model_copy(update={"start_number": 7}))
    library = Library(folder, tmp_path / "out", suffix=".tif")
    for verdict in ("done", "unchanged"):
        outcomes = Batch(library, plain).run(executor=executor)
        assert [outcome.verdict for outcome in outcomes] == [verdict] * 2
    found = tree(tmp_path / "out")
    assert [name for name in found if name.endswith(".tif")] == [
        *(f"a.mp4/a_{number:06d}.tif" for number in range(1, 6)),
        *(f"reel 50%d/scan_{number:04d}.tif" for number in range(7, 12)),
    ]
    for stem in ("a.mp4/a_######.tif", "reel 50%d/scan_####.tif"):
        assert all((tmp_path / "out" / f"{stem}.{kind}").is_file() for kind in ("json", "html"))
    (tmp_path / "out" / "a.mp4" / "a_000002.tif").write_bytes(b"mine")
    again = Batch(library, plain.model_copy(update={"seed": 5})).run(executor=executor)
    assert [outcome.verdict for outcome in again] == ["failed", "done"]
    assert "was changed since it was made" in str(again[0].error)
    assert Library(folder, tmp_path / "out", suffix=".mov").target_of(folder / "a.mp4").name == "a.mp4.mov"


def test_every_kind_of_result_may_be_asked_for() -> None:
    assert {f".{kind}" for kind in KINDS} == {*CONTAINERS, *SEQUENCES}
