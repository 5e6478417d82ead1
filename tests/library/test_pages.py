from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dossr_video.errors import Interrupted
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.report import report_of
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library
from dossr_video.library.pages import INDEX, page_of, read_report
from dossr_video.settings import Settings

MakeClip = Callable[..., Path]


@pytest.fixture(scope="module")
def short(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("short") / "short.mp4", [5])


@pytest.fixture
def batch(short: Path, tiny: Settings, tmp_path: Path) -> Batch:
    """Two clips, one of them below a folder with an awkward name, and a file that is no video."""
    sources = tmp_path / "in"
    (sources / "it's <b>#1?").mkdir(parents=True)
    (sources / "a.mkv").write_bytes(short.read_bytes())
    (sources / "it's <b>#1?" / "100%.mkv").write_bytes(short.read_bytes())
    (sources / "broken.mkv").write_text("no video")
    return Batch(Library(sources, tmp_path / "out", recursive=True), tiny)


def test_every_result_has_a_report_and_a_page_and_the_index_leads_to_them(
    batch: Batch, executor: LocalExecutor
) -> None:
    outcomes = replace(batch, premis=True).run(executor=executor)
    done = [outcome.target for outcome in outcomes if outcome.verdict == "done"]
    assert len(done) == 2
    for target in done:
        report = read_report(target)
        assert report is not None
        assert report.target.size == target.stat().st_size
        assert f"<title>{target.name}</title>" in page_of(target).read_text()
        assert report.target.sha256 in target.with_name(target.name + ".premis.xml").read_text()
    index = batch.library.results / INDEX
    text = index.read_text()
    links = [urllib.parse.unquote(link) for link in re.findall(r'href="([^"]+)"', text)]
    assert sorted(index.parent / link for link in links) == sorted(map(page_of, done))
    assert "<b>#1" not in text
    assert "broken.mkv is not a video" in text
    assert "2 done" in text
    assert "1 failed" in text


def test_a_page_that_is_missing_is_written_by_the_next_run(batch: Batch, executor: LocalExecutor) -> None:
    def stop(event: Progress) -> None:
        stopped.extend(["now"] if event.stage == "reporting" else [])

    stopped: list[str] = []
    target = batch.library.results / "a.mkv"
    with pytest.raises(Interrupted):
        batch.run(executor=executor, on_progress=stop, cancelled=lambda: bool(stopped))
    assert report_of(target).exists()
    assert not page_of(target).exists()
    written = target.stat().st_mtime_ns
    verdicts = {outcome.source.name: outcome.verdict for outcome in batch.run(executor=executor)}
    assert verdicts["a.mkv"] == "unchanged"
    assert page_of(target).exists()
    assert target.stat().st_mtime_ns == written


def test_a_new_result_has_a_new_page(batch: Batch, tiny: Settings, executor: LocalExecutor) -> None:
    batch.run(executor=executor)
    page = page_of(batch.library.results / "a.mkv")
    before = page.read_text()
    Batch(batch.library, tiny.model_copy(update={"crf": 30.0})).run(executor=executor)
    assert page.read_text() != before
    assert "30.0" in page.read_text()


def test_a_folder_in_the_place_of_an_older_page_is_a_warning(
    batch: Batch, tiny: Settings, executor: LocalExecutor
) -> None:
    batch.run(executor=executor)
    page = page_of(batch.library.results / "a.mkv")
    page.unlink()
    (page / "mine").mkdir(parents=True)
    warnings: list[str] = []
    again = Batch(batch.library, tiny.model_copy(update={"crf": 30.0}))
    outcomes = again.run(executor=executor, on_progress=lambda event: warnings.extend(event.warnings))
    assert [outcome.verdict for outcome in outcomes] == ["done", "failed", "done"]
    assert any("a.mkv lacks a file that goes beside it" in warning for warning in warnings)
    assert (page / "mine").is_dir()


def test_a_page_that_cannot_be_written_is_a_warning(batch: Batch, executor: LocalExecutor) -> None:
    (page_of(batch.library.results / "a.mkv") / "mine").mkdir(parents=True)
    warnings: list[str] = []
    outcomes = batch.run(executor=executor, on_progress=lambda event: warnings.extend(event.warnings))
    assert [outcome.verdict for outcome in outcomes] == ["done", "failed", "done"]
    assert sum("a.mkv has no page" in warning for warning in warnings) == 1


def test_somebody_elses_file_in_the_place_of_a_report_stays(batch: Batch, executor: LocalExecutor) -> None:
    batch.library.results.mkdir()
    other = report_of(batch.library.results / "a.mkv")
    other.write_text('{"mine": 1}')
    folder = report_of(batch.library.results / "it's <b>#1?" / "100%.mkv")
    folder.mkdir(parents=True)
    warnings: list[str] = []
    outcomes = batch.run(executor=executor, on_progress=lambda event: warnings.extend(event.warnings))
    assert [outcome.verdict for outcome in outcomes] == ["done", "failed", "done"]
    for place in (other, folder):
        assert any(f"{place.name} exists and is no report" in warning for warning in warnings)
    assert (other.read_text(), list(folder.iterdir())) == ('{"mine": 1}', [])
