from __future__ import annotations

import base64
import io
import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from dossr_video.cli.commands import app
from dossr_video.errors import SettingsError, SourceError, TargetError
from dossr_video.quality.pairs import encode
from dossr_video.quality.track import Measured, Track
from dossr_video.report import stills
from dossr_video.report.compare import compare
from dossr_video.report.measure import measure
from dossr_video.report.page import Details, Passed, Version, write_page
from dossr_video.report.places import Place, find_places
from dossr_video.report.plots import clock, line_plot
from dossr_video.report.stills import choose
from dossr_video.video.read.pyav import PyavReader

Clip = NDArray[np.uint8]
HOSTILE = "<script>alert(1)</script> \"&' {{ 7 * 7 }}"


def moving(frames: int, height: int, width: int, *, seed: int = 0) -> Clip:
    """A smooth texture that slides to the right, and is another one from the middle on."""
    rng = np.random.default_rng(seed)
    waves = [np.sin(np.arange(width + frames) / rng.uniform(3, 6))[None] * 30 + 60 + 90 * shot for shot in (0, 1)]
    rows = [waves[2 * t >= frames][:, t : t + width] for t in range(frames)]
    return np.stack([np.repeat(row, height, 0)[..., None].repeat(3, 2) for row in rows]).astype(np.uint8)


def enlarged(clip: Clip) -> Clip:
    return clip.repeat(2, 1).repeat(2, 2)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of 64x48 with a cut in the middle, lossless."""
    path = tmp_path_factory.mktemp("page") / "source.mkv"
    encode(moving(24, 48, 64), path, crf=None)
    return path


@pytest.fixture(scope="module")
def result(source: Path) -> Path:
    """The same at twice the size."""
    path = source.with_name("result.mkv")
    encode(enlarged(moving(24, 48, 64)), path, crf=None)
    return path


def measured(*files: Path, start: float = 0.0) -> Measured:
    readers = [PyavReader(file) for file in files]
    return measure(readers[0], readers[1:], start=start)


def test_a_result_like_its_source_has_its_figures(source: Path, result: Path) -> None:
    found = measured(source, result)
    assert found.shots == (range(12), range(12, 24))
    assert found.seconds.tolist() == pytest.approx([t / 25 for t in range(24)], abs=1e-3)
    before, after = found.tracks
    assert np.all(before.difference == 0)
    assert after.difference.max() < 0.5
    assert np.abs(after.brightness - before.brightness).max() < 0.2
    assert np.isnan(before.flicker[[0, 1, 12, 13]]).all()
    assert np.isnan(before.flicker).sum() == 4
    assert np.abs(after.flicker - before.flicker)[2:12].max() < 0.3


def test_each_figure_sees_its_fault(source: Path, tmp_path: Path) -> None:
    clean = enlarged(moving(24, 48, 64))
    brighter, flickering, noisy = clean + 10, clean.copy(), clean.copy()
    flickering[::2] += 8
    noisy += np.random.default_rng(1).integers(0, 20, clean.shape[:3], np.uint8)[..., None]
    files = [tmp_path / f"{name}.mkv" for name in ("clean", "brighter", "flickering", "noisy")]
    for file, clip in zip(files, (clean, brighter, flickering, noisy), strict=True):
        encode(clip, file, crf=None)
    good, bright, unsteady, rough = measured(source, *files).tracks[1:]
    assert (bright.brightness - good.brightness).mean() == pytest.approx(10, abs=0.5)
    assert (bright.difference - good.difference).mean() == pytest.approx(10, abs=0.5)
    assert np.nanmean(unsteady.flicker - good.flicker) > 8
    assert (rough.sharpness - good.sharpness).min() > 3
    assert abs(np.nanmean(bright.flicker - good.flicker)) < 0.2


def test_files_of_other_rates_and_lengths_are_held_against_the_same_time(source: Path, tmp_path: Path) -> None:
    clip = moving(24, 48, 64)
    encode(clip[::5].repeat(5, 0), tmp_path / "held.mkv", crf=None)
    encode(clip[:18], tmp_path / "short.mkv", crf=None)
    encode(clip[10:], tmp_path / "cut.mkv", crf=None)
    held, short = measured(source, tmp_path / "held.mkv", tmp_path / "short.mkv").tracks[1:]
    assert [held.difference[t] < 0.2 for t in range(24)] == [t % 5 == 0 for t in range(24)]
    assert short.difference[:18].max() < 0.2
    assert np.isnan(short.difference[18:]).all()
    cut = measured(source, tmp_path / "cut.mkv", start=0.4)  # the nearest float lies behind the frame at 0.4 s
    assert len(cut.seconds) == 14
    assert cut.tracks[1].difference.max() < 0.2


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> dict[str, list[NDArray[np.uint8]]]:
        """By layer, in order."""
        found: dict[str, list[NDArray[np.uint8]]] = {}
        for image in self.all("img"):
            if layer := image.get("data-layer"):
                data = base64.b64decode(str(image["src"]).removeprefix("data:image/webp;base64,"))
                found.setdefault(layer, []).append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        return found


@pytest.fixture(scope="module")
def page(source: Path, result: Path) -> Page:
    """With everything that a page can hold, and hostile text in all of it."""
    details = Details(
        checks=[Passed("frames", True, HOSTILE), Passed(HOSTILE, False, "off")],
        lost=[HOSTILE],
        warnings=[HOSTILE],
        damage=[(0.76, HOSTILE)],
        plan=[HOSTILE],
        tables={HOSTILE: {HOSTILE: HOSTILE}},
    )
    path = source.with_name("page.html")
    with PyavReader(source) as before, PyavReader(result) as after:
        write_page(path, [Version("source", before), Version(HOSTILE, after)], title=HOSTILE, details=details)
    return Page(path)


def test_the_page_stands_alone(page: Page) -> None:
    assert not re.search(r"https?://(?!www\.w3\.org)|@import|url\((?!#)", page.source)
    addresses = [tag.get(name) for _, tag in page.tags for name in ("src", "href", "xlink:href") if tag.get(name)]
    assert all(
        str(address).startswith(("data:image/webp;base64,", "data:video/webm;base64,", "#")) for address in addresses
    )
    assert not page.all("link")
    assert len(page.all("script")) == 1


def test_hostile_text_stays_text(page: Page) -> None:
    assert page.text.count(HOSTILE) > 10
    assert page.source.count("<script>") == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_the_page_holds_the_pictures_of_every_shot_and_of_the_damage(page: Page) -> None:
    pictures = page.pictures()
    assert {layer: [picture.shape for picture in found] for layer, found in pictures.items()} == {
        "0": [(48, 64, 3)] * 3,
        "1": [(96, 128, 3)] * 3,
        "map-1": [(48, 64, 3)] * 3,
    }
    for before, after, difference in zip(*pictures.values(), strict=True):
        assert np.abs(after[::2, ::2].astype(int) - before).mean() < 6
        assert difference.mean() < 20
    frames = [figure["id"] for figure in page.all("figure") if figure.get("class") == "still"]
    assert frames == ["frame-6", "frame-18", "frame-19"]
    assert {link["href"] for link in page.all("a")} == {"#frame-6", "#frame-18", "#frame-19", "#places"}


def test_seconds_of_shots_play_side_by_side_in_one_film(page: Page) -> None:
    films = page.all("video")
    assert len(films) == 2  # a film for each shot
    for film, level in zip(films, (60, 150), strict=True):  # the shot with the damage first
        assert film.keys() >= {"controls", "loop", "muted", "aria-label"}
        data = io.BytesIO(base64.b64decode(str(film["src"]).split(",")[1]))
        with av.open(data) as container:
            rate = container.streams.video[0].average_rate
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert rate == 25
        assert [frame.shape for frame in frames] == [(96, 260, 3)] * 12
        left, right = (np.stack(frames)[:, 40:, part].astype(int) for part in (slice(0, 128), slice(132, 260)))
        assert np.abs(left - right).mean() < 8
        assert abs(abs(left.mean() - 105) - abs(level - 105)) < 12
        assert np.abs(np.diff(left, axis=0)).mean() > 1


def test_everything_can_be_reached_with_the_keyboard_and_has_a_name(page: Page) -> None:
    assert all(button["type"] == "button" for button in page.all("button"))
    assert [attributes.get("aria-label") for attributes in page.all("input")] == ["Place of the line"]
    (stage,) = (tag for tag in page.all("div") if tag.get("class") == "stage")
    assert stage["tabindex"] == "0"
    assert stage["aria-label"]
    assert {option["value"] for option in page.all("option")} == set(page.pictures())
    assert all("alt" in image for image in page.all("img"))
    assert all(svg["aria-hidden"] == "true" for svg in page.all("svg"))  # the table of shots holds their figures


def test_the_page_follows_light_and_dark_and_is_printable(page: Page) -> None:
    assert "@media (prefers-color-scheme: dark)" in page.source
    assert "@media print" in page.source
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert "var(--line-0)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'(href|clip-path)="[^"]*"', "", drawn))


def test_pictures_of_any_size_and_noise_fit_into_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills, "BYTES", 20_000)
    noise = np.random.default_rng(2).integers(0, 256, (2, 240, 320, 3), np.uint8)
    for clip, smaller in ((noise, True), (np.full_like(noise, 90), False)):
        found = stills.encoded([stills.layers({0: picture, 1: picture}, shrink=1.0) for picture in clip])
        files = [base64.b64decode(a.split(",")[1]) for images in found for a in images.layers.values()]
        assert sum(map(len, files)) <= 20_000
        assert (Image.open(io.BytesIO(files[0])).width < 320) == smaller
    assert stills.fitting(10**9) < 0.03
    assert stills.fitting(10**3) == 1


def test_of_many_shots_those_that_differ_most_are_shown() -> None:
    frames = 10 * stills.MOST
    found = measured_like(frames, shots=2 * stills.MOST)
    chosen = choose(found, [Place(3, "damage", "lost")])
    assert len(chosen) == stills.MOST
    assert chosen[3] == "lost"
    assert min(frame for frame in chosen if frame != 3) >= frames // 2


def measured_like(frames: int, *, shots: int) -> Measured:
    """A second a frame; the difference grows."""
    values = np.arange(frames, dtype=np.float64)
    track = Track(values.astype(np.int64), values, values, values, values, values)
    length = frames // shots
    return Measured(values, tuple(range(i * length, (i + 1) * length) for i in range(shots)), (track, track))


def test_a_plot_of_a_long_film_keeps_its_peaks() -> None:
    found = measured_like(20_000, shots=4)
    flat = np.full(20_000, 5.0)
    flat[12_345], flat[3_000:4_000] = 50, np.nan
    small, large = line_plot(found, {1: np.full(20_000, 5.0)}), line_plot(found, {1: flat})
    assert len(large) < 40_000
    highest = [max(map(float, re.findall(r">([\d.]+)</text>", plot))) for plot in (small, large)]
    assert highest[0] < 10 < highest[1]


def test_times_read_as_on_a_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 61, 3723)] == ["0:00", "1:00", "1:01", "1:02:03"]
    assert clock(9.96, places=True) == "0:10.0"


def test_a_page_of_three_results_tells_them_apart(source: Path, result: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "result.mkv"
    encode(moving(12, 48, 64), other, crf=None)
    compare(source, [result, other, source], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    names = ["source", "1: result.mkv", "2: result.mkv", "source.mkv"]
    assert all(name in page.text for name in names)
    pictures = page.pictures()
    assert len(pictures["1"]) == len(pictures["3"]) == 3
    assert len(pictures["2"]) == 1  # it ends before the second shot
    assert "2: result.mkv ends 0.44 s before the source" in page.text


def test_the_command_writes_a_page_and_never_over_another(source: Path, result: Path, tmp_path: Path) -> None:
    target = tmp_path / "look.html"
    arguments = ["compare", str(source), str(result), "--page", str(target)]
    assert CliRunner().invoke(app, arguments, standalone_mode=False, catch_exceptions=False).exit_code == 0
    assert Page(target).pictures()
    with pytest.raises(TargetError, match=r"look\.html exists"):
        CliRunner().invoke(app, arguments, standalone_mode=False, catch_exceptions=False)
    CliRunner().invoke(app, [*arguments, "--force"], standalone_mode=False, catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["look.html"]
    arguments[-1], before = str(source), source.read_bytes()
    with pytest.raises(SettingsError, match=r"must end in \.html"):
        CliRunner().invoke(app, [*arguments, "--force"], standalone_mode=False, catch_exceptions=False)
    assert source.read_bytes() == before


def test_what_cannot_be_compared_is_told(source: Path, result: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    for results, page, error in (
        ([tmp_path / "text.mkv"], tmp_path / "page.html", SourceError),
        ([result], tmp_path / "none" / "page.html", TargetError),
        ([result], tmp_path, SettingsError),
        ([result] * 6, tmp_path / "page.html", SettingsError),
    ):
        with pytest.raises(error):
            compare(source, results, page)
    assert [path.name for path in tmp_path.iterdir()] == ["text.mkv"]


def test_a_result_of_another_length_or_shape_is_told(source: Path, result: Path, tmp_path: Path) -> None:
    encode(moving(30, 48, 64), tmp_path / "long.mkv", crf=None)
    encode(moving(24, 48, 96), tmp_path / "wide.mkv", crf=None)
    files = [str(source), *(str(file) for file in (result, tmp_path / "long.mkv", tmp_path / "wide.mkv"))]
    arguments = ["compare", *files, "--page", str(tmp_path / "page.html")]
    said = CliRunner().invoke(app, arguments, standalone_mode=False, catch_exceptions=False).stderr
    told = [
        "long.mkv lasts 1.20 s (30 frames), the source 0.96 s (24 frames): they may not belong together",
        "wide.mkv is 96x48, the source 64x48: another shape, so it is distorted",
    ]
    page = Page(tmp_path / "page.html")
    for line in told:
        assert line in page.text
        assert line in said
    assert said.count("warning:") == 2


def test_fewer_frames_than_the_source_are_told_once(source: Path, tmp_path: Path) -> None:
    encode(moving(24, 48, 64), tmp_path / "whole.mkv", crf=None)
    with av.open(str(tmp_path / "whole.mkv")) as given, av.open(str(tmp_path / "half.mkv"), "w") as made:
        stream = made.add_stream("ffv1", rate=Fraction(25, 2), width=64, height=48, pix_fmt="yuv444p")
        for number, frame in enumerate(list(given.decode(video=0))[::2]):
            frame.pts, frame.time_base = number, Fraction(2, 25)
            made.mux(stream.encode(frame.reformat(format="yuv444p")))
        made.mux(stream.encode(None))
    found = find_places(measured(source, tmp_path / "half.mkv"), ["source", "half"], [])
    assert [(place.frame, place.what) for place in found] == [(1, "half has 12 frames for the source's 24")]


def test_faults_that_a_source_does_not_explain_are_told(tmp_path: Path) -> None:
    """Each in a shot of its own, by its frame; and a result that is merely sharper and cleaner has none."""
    rng = np.random.default_rng(3)
    shots = [moving(24, 96, 128, seed=seed)[:12] + np.uint8(20 * (seed % 2)) for seed in range(6)]
    grain = rng.integers(0, 7, (72, 96, 128, 1), np.uint8)
    clean = np.concatenate(shots)
    encode(clean + grain - np.uint8(3), tmp_path / "source.mkv", crf=None)
    large = enlarged(clean)
    encode(large, tmp_path / "good.mkv", crf=18)
    large[3:5] = 0  # black
    large[17:20] = large[16]  # frozen
    large[24:36:2] += 14  # flickers
    large[36:48] += 9  # brighter
    large[53] = large[53, :, ::-1]  # another picture
    encode(large, tmp_path / "bad.mkv", crf=None)
    good, bad = tmp_path / "good.mkv", tmp_path / "bad.mkv"
    found = measured(tmp_path / "source.mkv", good, bad)
    assert [shot.start for shot in found.shots] == [0, 12, 24, 36, 48, 60]
    places = [(place.frame, place.what) for place in find_places(found, ["source", "good", "bad"], [])]
    assert [(frame, what.split(":")[0]) for frame, what in places] == [
        (3, "bad is black, the source is not"),
        (17, "bad stands still, the source moves"),
        (30, "bad flickers"),
        (30, "bad is 7.0 of 255 brighter in this shot"),
        (42, "bad is 9.0 of 255 brighter in this shot"),
        (53, "bad differs much more than in the rest of the shot"),
    ]
    assert places[0][1].endswith("2 frames")
    assert places[1][1].endswith("3 frames")
