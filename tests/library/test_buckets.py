"""A library in a bucket of S3, with a server on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.urls import copy_of, folder_for
from dossr_video.library import batch, opening
from dossr_video.library.batch import Batch
from dossr_video.library.estimate import estimate
from dossr_video.library.files import Library
from dossr_video.library.opening import MARKER, open_catalogue
from dossr_video.library.status import status
from dossr_video.library.work import Outcome
from dossr_video.settings import Settings

IN, OUT = "s3://films/tapes", "s3://films/tapes/results"


@pytest.fixture
def short(make_clip: Callable[..., Path], tmp_path: Path) -> Path:
    return make_clip(tmp_path / "short.mp4", [5])


@pytest.fixture
def bucket(s3: Any, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two clips, one of them deeper, and what is none or is left alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("a.mp4", "deep/b c+1.avi", ".hidden/c.mp4", "results/old.mp4"):
        s3.put_file(str(short), f"films/tapes/{name}")
    for name in ("bad.mov", "notes.txt", "scan/0001.dpx", "scan/0002.dpx"):
        s3.pipe_file(f"films/tapes/{name}", b"no video")
    return s3


def verdicts(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(outcome.source).removeprefix(f"{IN}/"): outcome.verdict for outcome in outcomes}


def test_a_library_goes_from_bucket_to_bucket(
    bucket: Any, short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    work = Batch(Library(IN, OUT, recursive=True), tiny, premis=True)
    found = work.run(executor=executor)
    done = {"a.mp4": "done", "bad.mov": "failed", "deep/b c+1.avi": "done", "scan/0001.dpx": "failed"}
    assert verdicts(found) == done
    assert "pictures in a bucket are not read" in str(found[3].error)
    made = ["a.mp4", "deep/b c+1.avi.mkv"]
    names = [MARKER, "dossr-video.html", "old.mp4"]
    names += [name + ending for name in made for ending in ("", ".html", ".json", ".premis.xml")]
    there = [name.removeprefix("films/tapes/results/") for name in bucket.find("films/tapes/results")]
    assert there == sorted(names)
    report = json.loads(bucket.cat_file("films/tapes/results/a.mp4.json"))
    assert report["target"]["path"] == f"{OUT}/a.mp4"
    assert report["target"]["sha256"] in bucket.cat_file("films/tapes/results/a.mp4.html").decode()
    index = bucket.cat_file("films/tapes/results/dossr-video.html").decode()
    assert 'href="deep/b%20c%2B1.avi.mkv.html"' in index
    assert "bad.mov is not a video" in index
    assert [entry.source for entry in status(OUT).done] == ["a.mp4", "deep/b c+1.avi"]
    printed = CliRunner().invoke(app, ["status", f"{OUT}/"], standalone_mode=False, catch_exceptions=False).stdout
    assert printed.splitlines()[-1] == "0 in work, 2 done, 1 failed"
    assert list((tmp_path / "cache" / "dossr-video").iterdir()) == []

    again = {**done, "a.mp4": "unchanged", "deep/b c+1.avi": "unchanged"}
    assert verdicts(work.run(executor=executor)) == again
    assert [Path(str(source)).name for source in work.to_do()] == ["bad.mov", "0001.dpx"]
    bucket.put_file(str(short), "films/tapes/bad.mov")
    bucket.rm_file("films/tapes/results/a.mp4")
    assert verdicts(work.run(executor=executor)) == {**again, "bad.mov": "done", "a.mp4": "done"}


def test_keys_that_would_be_one_file_are_told_and_none_is_left_out(
    bucket: Any, short: Path, make_clip: Callable[..., Path], tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    other = make_clip(tmp_path / "other.mp4", [7], seed=5)
    keys = {"a//b.mp4": short, "a/b.mp4": other, "/d.mp4": short, "d.mp4": other, "../c.mp4": short, "/e.mp4": short}
    for key, path in keys.items():
        bucket.put_file(str(path), f"films/keys/{key}")
    for results in ("s3://films/new", tmp_path / "out"):
        work = Batch(Library("s3://films/keys", results, recursive=True), tiny)
        found = {
            str(outcome.source).removeprefix("s3://films/keys/"): outcome for outcome in work.run(executor=executor)
        }
        done = {"a//b.mp4": 5, "/d.mp4": 5, "/e.mp4": 5}
        assert {key: outcome.frames for key, outcome in found.items() if outcome.verdict == "done"} == done
        assert {key: outcome.error for key, outcome in found.items() if outcome.verdict == "failed"} == {
            "a/b.mp4": "a/b.mp4 is already the result of a//b.mp4",
            "d.mp4": "d.mp4 is already the result of /d.mp4",
            "../c.mp4": "s3://films/keys/../c.mp4: `..` would lead out of the folder of the results",
        }
        assert found["a/b.mp4"].hint == "rename a//b.mp4 or a/b.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "other.mp4", "out", "short.mp4", "state"]
    bucket.rm_file("films/keys/a//b.mp4")
    assert {str(o.source)[-6:]: o.verdict for o in work.run(executor=executor)}["/b.mp4"] == "failed"  # not its own


def test_a_catalogue_that_calls_keys_by_the_path_of_their_file_goes_on(
    bucket: Any, short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    bucket.put_file(str(short), "films/keys/a//b.mp4")
    work = Batch(Library("s3://films/keys", tmp_path / "out", recursive=True), tiny)
    work.run(executor=executor)
    open_catalogue(tmp_path / "out", None).database.change("UPDATE dossr_files SET source = 'a/b.mp4'")
    assert [outcome.verdict for outcome in work.run(executor=executor)] == ["unchanged"]
    assert [entry.source for entry in status(tmp_path / "out").done] == ["a//b.mp4"]


def test_a_place_of_a_bucket_may_be_empty(bucket: Any, tiny: Settings, executor: LocalExecutor) -> None:
    for recursive in (False, True):
        assert Batch(Library("s3://films/nothing", OUT, recursive), tiny).run(executor=executor) == []
        with pytest.raises(SourceError, match=r"s3://none/tapes cannot be listed: .*bucket does not exist"):
            Batch(Library("s3://none/tapes", OUT, recursive), tiny).run(executor=executor)


def test_a_watched_bucket_may_be_empty_and_out_of_reach_for_a_while(
    bucket: Any, short: Path, tiny: Settings, executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "POLL", 0.05)
    events: list[Progress] = []
    seen: list[Outcome] = []
    looks: list[int] = []
    find = type(bucket).find

    def flaky(self: Any, path: str, **options: Any) -> Any:
        if path == "films/inbox":
            looks.append(len(looks))
            if looks[-1] in (2, 3):
                raise OSError("out of reach")
            if looks[-1] == 4:
                bucket.put_file(str(short), "films/inbox/a.mp4")
        return find(self, path, **options)

    monkeypatch.setattr(type(bucket), "find", flaky)
    work = Batch(Library("s3://films/inbox", OUT, recursive=True), tiny)
    work.run(
        watch=True, on_outcome=seen.append, on_progress=events.append, cancelled=lambda: bool(seen), executor=executor
    )
    assert [(outcome.source, outcome.verdict) for outcome in seen] == [("s3://films/inbox/a.mp4", "done")]
    assert [warning for event in events for warning in event.warnings] == [
        "s3://films/inbox cannot be listed: OSError: out of reach; it is tried again until Ctrl-C"
    ]
    with pytest.raises(SourceError, match="bucket does not exist"):
        Batch(Library("s3://none/inbox", OUT), tiny).run(watch=True, executor=executor)


def test_what_was_put_in_the_place_of_a_result_stays(
    bucket: Any, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    work = Batch(Library(IN, OUT, include=("a.*",)), tiny)
    bucket.pipe_file("films/tapes/results/a.mp4", b"mine")
    [outcome] = work.run(executor=executor)
    assert (outcome.verdict, "exists" in str(outcome.error)) == ("failed", True)
    bucket.rm_file("films/tapes/results/a.mp4")
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}
    other = replace(work, settings=tiny.model_copy(update={"crf": 30.0}))
    bucket.pipe_file("films/tapes/results/a.mp4", b"edited")
    [outcome] = other.run(executor=executor)
    assert (outcome.verdict, "changed since it was made" in str(outcome.error)) == ("failed", True)
    assert bucket.cat_file("films/tapes/results/a.mp4") == b"edited"
    assert verdicts(replace(other, force=True).run(executor=executor)) == {"a.mp4": "done"}
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}  # its own: with these settings again


def test_an_interrupted_file_goes_on(
    bucket: Any, clip: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    bucket.put_file(str(clip), "films/tapes/a.mp4")
    results = tmp_path / "out"
    work = Batch(Library(IN, results, include=("a.*",)), tiny)
    events: list[Progress] = []

    def late() -> bool:
        return any(event.stage == "upscaling" and event.done > 20 for event in events)

    with pytest.raises(Interrupted):
        work.run(executor=executor, on_progress=events.append, cancelled=late)
    assert copy_of(f"{IN}/a.mp4", folder_for(str(results / "a.mp4"))).exists()
    assert verdicts(work.run(executor=executor)) == {"a.mp4": "done"}
    assert json.loads((results / "a.mp4.json").read_text())["resumed"] > 0
    assert (results / "a.mp4.html").exists()
    assert not any(path.is_file() for path in (tmp_path / "cache" / "dossr-video").rglob("*"))


def test_from_a_folder_into_a_bucket(
    bucket: Any, short: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copyfile(short, tmp_path / "in" / "d.mp4")
    work = Batch(Library(tmp_path / "in", "s3://films/out"), tiny)
    assert [outcome.verdict for outcome in work.run(executor=executor)] == ["done"]
    assert bucket.exists("films/out/d.mp4.html")
    assert estimate(work, executor=executor).files == 0


def test_another_machine_needs_a_catalogue_that_both_reach(
    bucket: Any,
    make_database: Callable[[], str],
    tiny: Settings,
    executor: LocalExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = Library(IN, OUT, include=("a.*",))
    Batch(library, tiny).run(executor=executor)
    here, address = opening.socket.gethostname(), make_database()
    shared = replace(library, catalogue=address)
    monkeypatch.setattr(opening.socket, "gethostname", lambda: "another")
    with pytest.raises(TargetError, match=f"has its catalogue in {here}:") as error:
        Batch(library, tiny).run(executor=executor)
    assert "--catalogue postgresql://" in error.value.hint
    with pytest.raises(TargetError, match="does not know"):
        Batch(shared, tiny).run(executor=executor)
    monkeypatch.setattr(opening.socket, "gethostname", lambda: here)
    assert verdicts(Batch(shared, tiny).run(executor=executor)) == {"a.mp4": "unchanged"}
    monkeypatch.setattr(opening.socket, "gethostname", lambda: "another")
    assert verdicts(Batch(shared, tiny).run(executor=executor)) == {"a.mp4": "unchanged"}
    assert "s3cret" not in bucket.cat_file(f"films/tapes/results/{MARKER}").decode()


def test_what_cannot_be_a_library_is_told_before_the_work(
    bucket: Any, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"https://host/tapes is not a folder, nor a place in a bucket"):
        Library("https://me:pass@host/tapes", OUT)
    with pytest.raises(TargetError, match="is the folder of the sources"):
        Library(IN, IN)
    with pytest.raises(TargetError, match="pictures cannot be put into a bucket"):
        Library(tmp_path, OUT, suffix=".dpx")
    events: list[Progress] = []
    for sources, results, error, message in (
        ("s3://none/tapes", OUT, SourceError, r"s3://none/tapes cannot be listed: .*bucket does not exist"),
        (IN, "s3://none/results", TargetError, r"s3://none/results/\S+ cannot be written: .*bucket does not exist"),
    ):
        with pytest.raises(error, match=message):
            Batch(Library(sources, results), tiny).run(executor=executor, on_progress=events.append)
    assert not events
    with pytest.raises(SettingsError, match="--dry-run looks into every file"):
        estimate(Batch(Library(IN, OUT), tiny), executor=executor)
