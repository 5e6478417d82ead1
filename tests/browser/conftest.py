"""A real Chromium, and the local page. Without a Chromium the tests skip; under FAIL_WITHOUT_CHROMIUM=1 they fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from dossr_video.jobs.lock import Owner

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


@dataclass
class Served:
    """A page that runs: `dossr-video ui` in a process of its own."""

    folder: Path  # the one that it was given
    state: Path  # where it keeps its queue
    process: subprocess.Popen[str]
    address: str  # with the token

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts the page over a folder; the queue is beside it. All that runs is ended with the tests."""
    pages: list[Served] = []

    def serve(folder: Path, *options: str, port: int = 0) -> Served:
        state = folder.parent / "state"
        command = [sys.executable, "-m", "dossr_video", "ui", str(folder), "--no-browser", f"--port={port}", *options]
        environment = {**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        line = process.stderr.readline()
        if not line.startswith("the page: "):
            raise AssertionError(line + process.communicate()[1])
        pages.append(Served(folder, state / "dossr-video" / "ui", process, line.split()[-1]))
        return pages[-1]

    yield serve
    for page in pages:
        if page.process.poll() is None:
            page.end()
        page.process.stderr.close()
        for record in page.state.glob("jobs/*/job.json"):
            owner = json.loads(record.read_text())["owner"]
            if owner is not None and not Owner(**owner).is_gone(record):
                os.kill(owner["pid"], signal.SIGKILL)
