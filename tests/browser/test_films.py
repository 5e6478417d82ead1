"""The films of a report play in a browser, from disk, and answer to the keyboard."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dossr_video.quality.pairs import encode
from dossr_video.report.compare import compare


def test_a_film_plays_stops_and_goes_by_frames(tmp_path: Path, open_page) -> None:
    texture = np.random.default_rng(1).integers(40, 120, (60, 80, 3), np.uint8)
    clip = np.stack([np.roll(texture, frame, 1) for frame in range(25)])
    encode(clip, tmp_path / "source.mkv", crf=None)
    encode(clip.repeat(2, 1).repeat(2, 2), tmp_path / "result.mkv", crf=None)
    compare(tmp_path / "source.mkv", [tmp_path / "result.mkv"], tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri())
    film = page.locator("video")
    assert film.evaluate("async film => { await film.play(); return film.videoWidth; }") == 2 * 160 + 4
    page.wait_for_function("document.querySelector('video').currentTime > 0.2")
    film.focus()
    page.keyboard.press(".")
    assert film.evaluate("film => film.paused")
    before = film.evaluate("film => (film.currentTime = 0.4, film.currentTime)")
    where = page.locator("#where").inner_text()
    page.keyboard.press(".")
    assert abs(film.evaluate("film => film.currentTime") - before - 0.04) < 0.01
    page.keyboard.press(",")
    page.keyboard.press("s")
    assert film.evaluate("film => [Math.round(film.currentTime * 100), film.playbackRate]") == [40, 0.25]
    assert page.locator("#where").inner_text() == where, "the stills stay where they are"
