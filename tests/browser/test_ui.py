"""The local page in a browser: from a dropped file to the report, with a second tab, reloads and restarts."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

LONG = 120_000  # milliseconds that anything may take on a machine that is busy
expect.set_options(timeout=LONG)
FAST = {"preset": "fast", "model": "bicubic"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, with nothing beside it."""
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, make_clip) -> bytes:
    """108 frames of 32x24 in 12 shots."""
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", [9, 8, 12, 7, 10, 8] * 2).read_bytes()


@contextmanager
def held(served, number: str) -> Iterator[None]:
    """The process of a job stands still from its second segment on: fast machines are no faster than the test."""
    folder = served.state / "jobs" / number
    events, record = folder / "out", folder / "job.json"
    until = time.monotonic() + LONG / 1000
    while not (events.exists() and re.search(rb'"upscaling", "done": (9|\d\d)', events.read_bytes())):
        assert time.monotonic() < until
        time.sleep(0.005)
    pid = json.loads(record.read_text())["owner"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def choose(page: Page, name: str, **options: str) -> None:
    """From the first page to the form of a clip, filled in."""
    page.get_by_role("link", name=name).click()
    expect(page.locator("#probe li").first).to_be_visible()
    for option, value in {**FAST, **options}.items():
        if option == "preset":
            page.locator(f"input[name=preset][value={value}]").check()
        else:
            page.locator(f"#{option}").select_option(value)


def start(page: Page) -> None:
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/job/*")


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("[data-state]")).to_have_attribute("data-state", state)


def opened(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(address)
    expect(page.get_by_role("heading", name="Restore and enlarge")).to_be_visible()
    return page


def test_from_a_dropped_file_to_its_report(serve, context: BrowserContext, folder: Path, film: bytes) -> None:
    served = serve(folder)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = opened(context, served.address)
    assert "token" not in page.url
    dropped = page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "a <b>film.mp4"));
            return data;
        }""",
        list(film),
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    expect(page.get_by_role("heading", name="a <b>film.mp4")).to_be_visible()
    assert (folder / "a <b>film.mp4").read_bytes() == film

    expect(page.locator("#probe")).to_contain_text("32x24")
    page.locator("input[name=preset][value=fast]").check()
    expect(page.get_by_text("optical flow is the second largest cost")).to_be_visible()
    expect(page.get_by_text("the smallest files that browsers play")).to_be_hidden()
    page.locator("#model").select_option("bicubic")
    page.get_by_role("button", name="Explain what would be done").click()
    expect(page.locator("#probe")).to_contain_text("model bicubic (named in the options)")

    for value in ("pixel", "off"):
        page.locator(f"input[name=try-blend][value={value}]").check()
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator("#look")).to_contain_text("blend=off: about")
    look = page.frame_locator("iframe")
    look.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    expect(look.locator("#split")).to_have_value("52")
    expect(page.locator(".sheet")).to_have_js_property("complete", True)
    assert page.locator(".sheet").evaluate("e => e.naturalWidth") > 0
    expect(page.locator("#model")).to_have_value("bicubic")

    start(page)
    expect_state(page, "done")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open the report").click()
    report = popup.value
    expect(report.get_by_text("checks passed")).to_be_visible()
    expect(report.locator(".stage img").first).to_have_js_property("complete", True)
    # A report is a file that anybody may have written: it has no cookie and no way to this page.
    assert report.evaluate("window.origin") == "null"
    with pytest.raises(Exception, match="SecurityError"):
        report.evaluate("document.cookie")
    assert report.evaluate("fetch('/').then(() => 'answered', () => 'refused')") == "refused"
    assert (folder / "a <b>film_restored.mp4").is_file()
    here = f"http://127.0.0.1:{served.port}/"
    assert [address for address in asked if not address.startswith((here, "data:"))] == []

    page.get_by_role("button", name="Take off the list").click()
    expect(page.get_by_text("None yet")).to_be_visible()
    assert (folder / "a <b>film_restored.mp4").is_file()


def test_a_second_tab_a_reload_a_restart_and_a_stop_in_mid_job(
    serve, context: BrowserContext, folder: Path, film: bytes, content
) -> None:
    for name in ("first.mp4", "second.mp4"):
        (folder / name).write_bytes(film)
    served = serve(folder)
    page = opened(context, served.address)
    choose(page, "first.mp4")
    start(page)
    job = page.url
    with held(served, job.split("/")[-1]):
        expect(page.locator("svg.shots rect.part")).to_have_count(12)
        expect(page.locator("#state")).to_contain_text("upscaling: ")
        page.get_by_role("button", name="Pause").click()
        expect_state(page, "paused")

    second = context.new_page()
    second.goto(served.address.partition("?")[0])
    choose(second, "second.mp4")
    start(second)
    expect_state(second, "waiting")
    page.reload()
    expect_state(page, "paused")
    picture = page.locator(".pictures img").first
    assert picture.evaluate("e => e.decode().then(() => e.naturalHeight)") == 120

    assert served.end(signal.SIGKILL) == -signal.SIGKILL
    expect(page.get_by_role("alert")).to_be_visible()
    served = serve(folder, port=served.port)
    expect(page.get_by_role("alert")).to_be_hidden()
    expect_state(page, "paused")
    page.get_by_role("button", name="Stop").click()
    expect_state(page, "stopped")
    expect(page.locator("#state")).to_contain_text("of 108 frames finished")
    assert not (folder / "first_restored.mp4").exists()
    expect(second.locator("[data-state=running]")).to_be_visible()

    page.get_by_role("button", name="Go on").click()
    expect_state(page, "waiting")
    assert served.end() == 0
    serve(folder, port=served.port)
    expect_state(second, "done")
    expect_state(page, "done")
    expect(page.locator("#state")).to_contain_text("from an earlier run")
    # The same film without an interruption.
    assert content(folder / "first_restored.mp4") == content(folder / "second_restored.mp4")


def test_what_is_no_video_is_told_in_the_words_of_the_command(serve, context: BrowserContext, folder: Path) -> None:
    (folder / "no.mp4").write_text("this is no film")
    page = opened(context, serve(folder, "--max-upload=0.00001").address)
    page.locator("#file").set_input_files({"name": "big.mp4", "mimeType": "video/mp4", "buffer": b"x" * 10_001})
    expect(page.locator("#upload")).to_contain_text("is larger than the 10.0 kB")
    page.locator("#file").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"})
    expect(page.locator("#upload")).to_contain_text("a.txt is no video by its name")
    page.locator("#file").set_input_files({"name": "no.mp4", "mimeType": "video/mp4", "buffer": b"x"})
    expect(page.locator("#upload")).to_contain_text("no.mp4 is there already")
    assert [path.name for path in folder.iterdir()] == ["no.mp4"]

    page.get_by_role("link", name="no.mp4").click()
    expect(page.locator("#probe .bad")).to_be_visible()
    start(page)
    expect_state(page, "failed")
    said = (page.locator("#state .bad").all_inner_texts())[-1]
    errors = next(folder.parent.glob("state/**/jobs/*2/err")).read_text()
    assert f"error: {said}\n" in errors
    assert [path.name for path in folder.iterdir()] == ["no.mp4"]


def test_fits_a_phone_and_is_used_by_keyboard(serve, context: BrowserContext, folder: Path, film: bytes) -> None:
    (folder / ("a_very_long_name_of_a_film_" * 4 + ".mp4")).write_bytes(film)
    page = opened(context, serve(folder).address)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    link = page.get_by_role("link", name="a_very_long")
    for _ in range(10):
        page.keyboard.press("Tab")
        if link.evaluate("e => e === document.activeElement"):
            break
    assert link.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#probe li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    fields = page.locator("input:not([type=hidden]), select")
    assert fields.evaluate_all("all => all.filter(e => !e.labels.length && !e.ariaLabel).map(e => e.outerHTML)") == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ink, paper = page.locator("body").evaluate(
            "e => (({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(e))"
        )
        dark = sum(map(int, paper[4:-1].split(","))) < sum(map(int, ink[4:-1].split(",")))
        assert dark == (scheme == "dark")
