from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dossr_video.errors import Interrupted, SourceError, TargetError
from dossr_video.jobs import urls as remote
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


def test_an_interrupted_job_goes_on_and_a_changed_source_is_noticed(
    store: fsspec.AbstractFileSystem, tiny: Settings, clip: Path, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    seen = 0

    def watch(event: Progress) -> None:
        nonlocal seen
        seen = event.done if event.stage == "upscaling" else 0

    arguments = ("memory://films/clip.mp4", "memory://results/out.mp4", tiny)
    with pytest.raises(Interrupted):
        run_job(*arguments, on_progress=watch, cancelled=lambda: seen > 20)
    assert run_job(*arguments).resumed == 3
    with pytest.raises(TargetError, match="exists"):
        run_job(*arguments)
    other = make_clip(tmp_path / "other.mp4", [5])
    store.put_file(str(other), "/films/clip.mp4")
    assert run_job(*arguments, force=True).frames == 5


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
def test_what_cannot_be_fetched_is_refused(url: str, store: fsspec.AbstractFileSystem, tiny: Settings) -> None:
    with pytest.raises(SourceError, match="cannot be fetched"):
        remote.fetched(url)
