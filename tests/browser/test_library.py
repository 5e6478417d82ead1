"""The index of a library and the pages of its results, opened from disk and walked through by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library
from dossr_video.library.pages import INDEX
from dossr_video.settings import Settings


@pytest.fixture(scope="module")
def results(make_clip: Any, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, one with damage under an awkward name, and a file that is no video, done into this folder."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "in").mkdir()
    make_clip(folder / "in" / "a.mkv", [6, 6])
    damaged = bytearray(make_clip(folder / "in" / "it's <b>#1 100%.mp4", [25, 25]).read_bytes())
    damaged[len(damaged) // 4 : len(damaged) // 4 + 400] = bytes(400)
    (folder / "in" / "it's <b>#1 100%.mp4").write_bytes(damaged)
    (folder / "in" / "text.mkv").write_text("no video")
    settings = tiny.model_copy(update={"qc": True})
    batch = Batch(Library(folder / "in", folder / "out"), settings)
    batch.run(executor=LocalExecutor(worker_spec(settings)))
    return folder / "out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_index_leads_to_every_page_by_keyboard(results: Path, open_page, scheme: str) -> None:
    page = open_page((results / INDEX).as_uri(), color_scheme=scheme)
    expect(page.locator(".files")).to_contain_text("text.mkv is not a video")
    assert page.locator(".files .good").count() == 2
    for number in (1, 2):
        page.goto((results / INDEX).as_uri())
        name = page.locator(".files a").nth(number - 1).inner_text()
        for _ in range(number):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text(name)
        expect(page.locator("body")).to_contain_text("every shot was measured")
    assert page.evaluate("document.body.scrollWidth <= innerWidth")


def test_damage_leads_to_its_frame(results: Path, open_page) -> None:
    page = open_page((results / "it's <b>#1 100%.mp4.html").as_uri())
    place = page.locator("#places a").first
    page.keyboard.press(".")
    place.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#where")).to_contain_text("source: ")
    expect(page.locator("#where")).to_contain_text(place.inner_text().split()[0])
