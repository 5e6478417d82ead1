"""The slider of reports, from disk, in a browser."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dossr_video.quality.pairs import encode
from dossr_video.report.compare import compare


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a page about two shots: a dark and a bright texture, and the same at twice the size."""
    folder = tmp_path_factory.mktemp("slider")
    texture = np.random.default_rng(1).integers(0, 80, (60, 80, 3), np.uint8)
    clip = np.stack([texture + np.uint8(80 * (frame >= 6)) for frame in range(12)])
    encode(clip, folder / "source.mkv", crf=None)
    encode(clip.repeat(2, 1).repeat(2, 2), folder / "result.mkv", crf=None)
    compare(folder / "source.mkv", [folder / "result.mkv"], folder / "page.html")
    return (folder / "page.html").as_uri()


def _style(page: Page, name: str) -> float:
    return float(page.locator(".stage").evaluate(f"e => parseFloat(e.style.getPropertyValue('{name}'))"))


def _pictures(page: Page) -> list[dict[str, float]]:
    """Where the pictures on both sides of the line are."""
    found: list[dict[str, float]] = page.locator(".pane img").evaluate_all(
        "all => all.map(e => (({x, y, width, height}) => ({x, y, width, height}))(e.getBoundingClientRect()))"
    )
    return found


def test_keys_move_the_line_and_step_through_frames(report: str, open_page) -> None:
    page = open_page(report)
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert _style(page, "--split") == 54
    page.keyboard.press("ArrowLeft")
    assert _style(page, "--split") == 52
    first = page.locator("#where").inner_text()
    page.keyboard.press(".")
    assert page.locator("#where").inner_text() != first
    expect(page.locator(".strip button").nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press(",")
    assert page.locator("#where").inner_text() == first
    left = page.locator("#left").input_value()
    page.keyboard.press("x")
    assert page.locator("#right").input_value() == left


def test_both_pictures_zoom_and_move_as_one(report: str, open_page) -> None:
    page = open_page(report)
    page.locator(".stage").focus()
    fitting = _pictures(page)
    assert fitting[0] == fitting[1]
    for _ in range(6):
        page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    enlarged = _pictures(page)
    assert enlarged[0] == enlarged[1]
    assert enlarged[0]["width"] > fitting[0]["width"]
    assert enlarged[0]["x"] < fitting[0]["x"]
    assert enlarged[0]["y"] < fitting[0]["y"]
    assert _style(page, "--split") == 50, "arrow keys move the enlarged picture, not the line"
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 50, y - 30)
    page.mouse.up()
    dragged = _pictures(page)
    assert dragged[0] == dragged[1]
    assert dragged[0]["x"] == pytest.approx(enlarged[0]["x"] - 50)
    page.keyboard.press("0")
    assert [_pictures(page)[0][name] for name in ("x", "width")] == [fitting[0][name] for name in ("x", "width")]


def test_the_line_is_dragged_and_the_range_follows(report: str, open_page) -> None:
    page = open_page(report)
    box = page.locator(".stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert _style(page, "--split") == pytest.approx(25, abs=1)
    assert float(page.locator("#split").input_value()) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_in_light_and_dark(report: str, open_page, scheme: str) -> None:
    page = open_page(report, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    ink, paper = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    dark = sum(map(int, paper[4:-1].split(","))) < sum(map(int, ink[4:-1].split(",")))
    assert dark == (scheme == "dark")


def test_asks_for_nothing(report: str, open_page) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report)
    page.wait_for_load_state("networkidle")
    assert {address.split(":")[0] for address in asked} <= {"file", "data", "blob"}
    assert [address for address in asked if address.startswith("file")] == [report]
