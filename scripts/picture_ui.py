#!/usr/bin/env python3
"""Make docs/pictures/ui.png: the local page in Chromium while the sample clip is worked on.

    python scripts/picture_ui.py docs/pictures/ui.png

Needs the extra `ui`, playwright and chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "sample.mp4"
expect.set_options(timeout=120_000)


def take(page: Page, address: str, picture: Path) -> None:
    """Start a job and take the picture once its first shot is there."""
    page.goto(address)
    page.get_by_role("link", name="bicycles.mp4").click()
    expect(page.locator("#probe li").first).to_be_visible()
    page.locator("input[name=preset][value=film-8mm]").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".pictures img").first).to_be_visible()
    page.locator(".pictures img").first.evaluate("e => e.decode()")
    page.screenshot(path=picture)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop at once")).to_be_visible()
    page.get_by_role("button", name="Stop at once").click()
    expect(page.locator("[data-state=stopped]")).to_be_visible()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not in PATH")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        films = Path(folder, "films")
        films.mkdir()
        shutil.copy(SAMPLE, films / "bicycles.mp4")
        command = [sys.executable, "-m", "dossr_video", "ui", str(films), "--no-browser", "--port=0"]
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            assert server.stderr is not None
            address = server.stderr.readline().split()[-1]
            with playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser:
                take(browser.new_page(viewport={"width": 1120, "height": 720}), address, picture)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


if __name__ == "__main__":
    main()
