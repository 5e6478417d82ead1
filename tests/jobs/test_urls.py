from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dossr_video.errors import Interrupted, JobError, SourceError, TargetError
from dossr_video.jobs import urls as remote
from dossr_video.jobs.lock import HeldError
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

Content = Callable[[Path], dict[str, Any]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dossr-video"


@pytest.fixture
def store(clip: Path) -> fsspec.AbstractFileSystem:
    """An object store that holds the clip."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.put_file(str(clip), "/films/clip.mp4")
    return system


def test_from_url_to_url_is_what_a_local_run_gives(
    store: fsspec.AbstractFileSystem,
    tiny: Settings,
    content: Content,
    whole: dict[str, Any],
    cache: Path,
    tmp_path: Path,
) -> None:
    report = run_job("memory://films/clip.mp4", "memory://results/out.mp4", tiny)
    assert (report.source.path, report.target.path) == ("memory://films/clip.mp4", "memory://results/out.mp4")
    assert sorted(store.store) == ["/films/clip.mp4", "/results/out.mp4"]
    store.get_file("/results/out.mp4", str(tmp_path / "out.mp4"))
    assert content(tmp_path / "out.mp4") == whole
    assert list(cache.iterdir()) == []


def interrupt(source: str, target: str, settings: Settings) -> None:
    """A job that is stopped after some segments."""
    seen = 0

    def watch(event: Progress) -> None:
        nonlocal seen
        seen = event.done if event.stage == "upscaling" else 0

    with pytest.raises(Interrupted):
        run_job(source, target, settings, on_progress=watch, cancelled=lambda: seen > 20)


def test_an_interrupted_job_goes_on_and_a_changed_source_is_noticed(
    store: fsspec.AbstractFileSystem, tiny: Settings, clip: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    arguments = ("memory://films/clip.mp4", "memory://results/out.mp4", tiny)
    interrupt(*arguments)
    assert run_job(*arguments).resumed == 3
    with pytest.raises(TargetError, match="exists"):
        run_job(*arguments)
    other = make_clip(tmp_path / "other.mp4", [5])
    store.put_file(str(other), "/films/clip.mp4")
    assert run_job(*arguments, force=True).frames == 5


def test_a_source_that_was_edited_in_place_is_refused(
    store: fsspec.AbstractFileSystem, tiny: Settings, clip: Path, edit: Callable[[Path], None], tmp_path: Path
) -> None:
    here = tmp_path / "clip.mp4"
    here.write_bytes(clip.read_bytes() + bytes(4_000_000))
    store.put_file(str(here), "/films/clip.mp4")
    arguments = ("memory://films/clip.mp4", "memory://results/out.mp4", tiny)
    interrupt(*arguments)
    edit(here)
    store.put_file(str(here), "/films/clip.mp4")
    with pytest.raises(JobError, match="input content: "):
        run_job(*arguments)


def test_each_result_has_a_copy_of_the_source_that_no_other_run_removes(
    store: fsspec.AbstractFileSystem, tiny: Settings, cache: Path, tmp_path: Path
) -> None:
    source, target = "memory://films/clip.mp4", tmp_path / "out.mp4"
    begun: list[str] = []
    (tmp_path / "there.mp4").write_bytes(b"mine")

    def others(event: Progress) -> None:
        """While the job goes on, one of another result is complete, one is refused, and the same one is given again."""
        if event.stage != "upscaling" or event.done < 20 or begun:
            return
        begun.append("other")
        assert run_job(source, tmp_path / "other.mp4", tiny).frames == 54
        with pytest.raises(TargetError, match="exists"):
            run_job(source, tmp_path / "there.mp4", tiny)
        with pytest.raises(HeldError, match=rf"^{re.escape(str(target))} is being worked on by process {os.getpid()}"):
            run_job(source, target, tiny)
        assert len([path for path in cache.rglob("*.mp4") if path.is_file()]) == 1

    with pytest.raises(Interrupted):
        run_job(source, target, tiny, on_progress=others, cancelled=lambda: bool(begun))
    run_job(source, tmp_path / "third.mp4", tiny)
    events: list[Progress] = []
    assert run_job(source, target, tiny, on_progress=events.append).resumed > 0
    assert "fetching" not in {event.stage for event in events}
    assert list(cache.iterdir()) == []


def test_a_target_that_exists_is_told_before_the_source_is_fetched(
    store: fsspec.AbstractFileSystem, tiny: Settings, tmp_path: Path
) -> None:
    (tmp_path / "out.mp4").write_bytes(b"mine")
    events: list[Progress] = []
    with pytest.raises(TargetError, match="exists"):
        run_job("memory://films/clip.mp4", tmp_path / "out.mp4", tiny, on_progress=events.append)
    assert events == []


def test_two_jobs_do_not_make_one_result_behind_a_url(
    store: fsspec.AbstractFileSystem, clip: Path, tiny: Settings, cache: Path
) -> None:
    refused: list[HeldError] = []

    def again(event: Progress) -> None:
        if not refused:
            with pytest.raises(HeldError, match=r"^memory://results/out\.mp4 is being worked on") as refusal:
                run_job(clip, "memory://results/out.mp4", tiny)
            refused.append(refusal.value)

    assert run_job("memory://films/clip.mp4", "memory://results/out.mp4", tiny, on_progress=again).frames == 54
    assert refused
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_told(
    store: fsspec.AbstractFileSystem, tiny: Settings, cache: Path, tmp_path: Path
) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"a file")
    with pytest.raises(TargetError, match=f"^{re.escape(str(cache))} is in the way"):
        run_job("memory://films/clip.mp4", tmp_path / "out.mp4", tiny)


def test_a_failed_upload_costs_no_computing(
    store: fsspec.AbstractFileSystem, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError("connection reset")

    arguments = ("memory://films/clip.mp4", "memory://results/out.mp4", tiny)
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put_file", fail)
        with pytest.raises(TargetError, match=r"cannot be uploaded: .*connection reset"):
            run_job(*arguments)
    assert not store.exists("/results/out.mp4")
    assert run_job(*arguments).resumed == 6


def test_paths_are_taken_as_they_are(clip: Path, tiny: Settings, tmp_path: Path, cache: Path) -> None:
    report = run_job(str(clip), str(tmp_path / "out.mp4"), tiny)
    assert report.frames == 54
    assert not cache.exists()


@pytest.mark.parametrize("url", ["memory://films/no.mp4", "nonsense://x/y.mp4"])
def test_what_cannot_be_fetched_is_refused(url: str, store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be fetched"):
        remote.fetched(url, tmp_path)


@pytest.fixture
def served(clip: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The address of the clip on a server, and how many bytes of it are sent."""
    content, sent = clip.read_bytes(), {"bytes": clip.stat().st_size}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content[: sent["bytes"]])

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/films/clip.mp4?signature={'s3cret' * 60}", sent
        server.shutdown()


def test_a_download_that_is_cut_short_is_noticed_and_not_kept(
    served: tuple[str, dict[str, int]], clip: Path, tiny: Settings, cache: Path, tmp_path: Path
) -> None:
    url, sent = served
    sent["bytes"] //= 2
    with pytest.raises(SourceError, match=r"clip\.mp4 cannot be fetched: ") as refusal:
        run_job(url, tmp_path / "out.mp4", tiny)
    assert "s3cret" not in refusal.value.message
    assert not [path for path in cache.rglob("*") if path.is_file()]
    sent["bytes"] *= 2
    sent["bytes"] += 1
    events: list[Progress] = []
    report = run_job(url, tmp_path / "out.mp4", tiny, on_progress=events.append)
    size = clip.stat().st_size
    assert Progress("fetching", size, size, unit="bytes") in events
    assert report.source.path == url.partition("?")[0]
    assert report.source.size == clip.stat().st_size


def test_fetching_can_be_stopped(
    served: tuple[str, dict[str, int]], tiny: Settings, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="fetched"):
        run_job(served[0], tmp_path / "out.mp4", tiny, cancelled=lambda: True)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://me:pass@host:80/a/b.mp4?X-Amz-Signature=1", "https://host:80/a/b.mp4"),
        ("sftp://me@host/a%20b.mp4", "sftp://host/a%20b.mp4"),
        ("memory://films/clip.mp4", "memory://films/clip.mp4"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, known: str) -> None:
    assert remote.shown_url(url) == known


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/out.mp4", "nonsense://x/out.mp4"])
def test_a_target_that_cannot_be_is_told_before_the_work(url: str, clip: Path, tiny: Settings) -> None:
    events: list[Progress] = []
    with pytest.raises(TargetError):
        run_job(clip, url, tiny, on_progress=events.append, force=True)
    assert not events
