"""A real Chromium, without a window. Where there is none the tests skip; under FAIL_WITHOUT_CHROMIUM=1 they fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

OpenPage = Callable[..., Page]

# As root Chromium has no sandbox; it asks for nothing outside this machine.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("FAIL_WITHOUT_CHROMIUM") == "1":
            pytest.fail("FAIL_WITHOUT_CHROMIUM=1 and there is no chromium in PATH")
        pytest.skip("needs chromium in PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path, args=ARGUMENTS) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Windows that share cookies."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(30_000)
        yield context


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a window of its own, with options of Playwright's new_context; fails on errors of scripts."""
    errors: list[str] = []
    with ExitStack() as stack:

        def open_page(address: str, **options: object) -> Page:
            page = stack.enter_context(browser.new_context(**options)).new_page()  # type: ignore[arg-type]
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.goto(address)
            return page

        yield open_page
    assert errors == []
