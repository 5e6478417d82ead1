"""--qc on results with planted faults and on good ones: what is done again, what is told, how it is resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.errors import Interrupted
from dossr_video.frames import Motion
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.models.base import HiddenState, PictureModel, Restored
from dossr_video.quality.faults import seam_between
from dossr_video.quality.pairs import encode
from dossr_video.report.run import run_page
from dossr_video.settings import Settings
from dossr_video.video.read.pyav import PyavReader

LENGTH = 8  # frames of a shot
FAULTS = ("none", "black", "frozen", "shifted", "tinted", "flickering", "line", "exchanged", "invented")


def shot(seed: int) -> np.ndarray:
    """A soft texture with grain that moves by a pixel a frame, at a level of its own."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.random((72, 96 + LENGTH, 3), np.float32), (0, 0), 3)
    texture = (texture - texture.mean()) / texture.std() * 22 + (90, 150)[seed % 2]
    frames = np.stack([texture[:, t : t + 96] for t in range(LENGTH)])
    return (frames + rng.normal(0, 1.5, frames.shape)).clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shot for each fault, 96x72, lossless."""
    path = tmp_path_factory.mktemp("qc") / "film.mkv"
    encode(np.concatenate([shot(seed) for seed in range(len(FAULTS))]), path, crf=None)
    return path


class Faulty(PictureModel):
    """Enlarges by two, and plants a fault in every shot but the first."""

    name, digest = "faulty", "0" * 64
    scale, multiple, recurrent, blended = 2, 1, False, True
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, film: Path) -> None:
        with PyavReader(film) as reader:
            self._film = torch.stack([frame.rgb() for frame in reader.frames()])

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        found = []
        for frame in frames:
            index = int((self._film - frame).abs().mean((1, 2, 3)).argmin())
            found.append(self._planted(FAULTS[index // LENGTH], index))
        return Restored(torch.stack(found))

    def _planted(self, fault: str, index: int) -> Tensor:
        first, t = index - index % LENGTH, index % LENGTH
        if fault == "frozen" and t in (5, 6, 7):
            index = first + 4
        if fault == "exchanged" and t == 6:
            index = first - LENGTH
        picture = F.interpolate(self._film[index][None], scale_factor=2, mode="bicubic", align_corners=False)[0]
        if fault == "black" and t in (3, 4):
            return torch.zeros_like(picture)
        if fault == "shifted":
            return picture.roll(5, -1)
        if fault == "tinted":
            return picture + torch.tensor([10.0, -5.0, 10.0])[:, None, None] / 255
        if fault == "flickering":
            board = (torch.arange(picture.shape[-2])[:, None] // 2 + torch.arange(picture.shape[-1]) // 2) % 2
            return picture + (board * 2 - 1) * (1 - 2 * (t % 2)) * 0.006
        if fault == "invented":
            waves = (
                torch.sin(torch.arange(picture.shape[-1]) / 11)
                * torch.sin(torch.arange(picture.shape[-2]) / 9)[:, None]
            )
            return picture + waves * 0.06
        if fault == "line":
            picture[..., 96:] += 6 / 255
        return picture


SETTINGS = Settings(scale=2, speed="ultrafast", crf=10, qc=True, flow="ultrafast", blend_strength=0.5, threads=1)


@pytest.fixture(scope="module")
def executor(film: Path) -> LocalExecutor:
    return LocalExecutor(worker_spec(SETTINGS), model=Faulty(film))


@pytest.fixture(scope="module")
def result(film: Path) -> Path:
    return film.with_name("out.mkv")


@pytest.fixture(scope="module")
def events() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def report(film: Path, result: Path, executor: LocalExecutor, events: list[Progress]) -> Report:
    return run_job(film, result, SETTINGS, executor=executor, on_progress=events.append)


def test_every_planted_fault_is_found_and_done_again(report: Report, film: Path, result: Path) -> None:
    assert report.qc is not None
    found = {FAULTS[record.shot - 1]: record for record in report.qc}
    assert list(found) == list(FAULTS[1:])
    first = {
        "black": "is black, the source is not: 2 frames",
        "frozen": "shows another frame of the source",
        "shifted": "shows another frame of the source",
        "tinted": "mean colour 10",
        "flickering": "flickers",
        "line": "light steps by 5",
        "exchanged": "differs much more than in the rest of the shot: 1 frame",
        "invented": "shows what the source does not",
    }
    for fault, text in first.items():
        assert text in found[fault].attempts[0].faults[0], fault
    assert all(record.mended for record in report.qc)
    assert [found[fault].attempts[-1].strength for fault in first] == [0, 0, 0, 0.5, 0.5, 0.5, 0, 0.5]
    ways = [(attempt.blend_strength, attempt.strength) for attempt in found["flickering"].attempts]
    assert ways == [(0.5, 1), (0.85, 1), (0.85, 0.5)]
    assert found["black"].kept == len(found["black"].attempts) == 3
    with PyavReader(film) as reader:
        sources = [frame.small((24, 18)).astype(float) for frame in reader.frames()]
    with PyavReader(result) as reader:
        results = [frame.small((24, 18)).astype(float) for frame in reader.frames()]
    assert max(np.abs(a - b).mean() for a, b in zip(sources, results, strict=True)) < 6


def test_it_is_told_in_events_report_and_page(
    report: Report, events: list[Progress], film: Path, result: Path, tmp_path: Path
) -> None:
    notes = [note for event in events for note in event.notes]
    assert "qc: 8 of 9 shots are done again" in notes
    assert "qc: shot 2 is black, the source is not: 2 frames; again with blend strength 0.5, strength 0.5" in notes
    assert {"upscaling", "repairing"} <= report.stages.keys()
    repairs = [event for event in events if event.stage == "repairing"]
    assert (repairs[0].done, repairs[0].total) == (0, 8 * LENGTH)
    assert json.loads(report.dumps())["settings"]["qc"] is True
    assert Report.model_validate_json(report.dumps()) == report
    run_page(report, film, result, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert re.search(
        r"shot 2 \(frames 8 to 15\) is black, the source is not: 2 frames and \d more: done again with", text
    )


def digests(path: Path) -> list[bytes]:
    with PyavReader(path) as reader:
        return [frame.digest() for frame in reader.frames()]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_job_that_is_stopped_while_it_repairs_ends_with_the_same_result(
    at_once: bool,
    report: Report,
    result: Path,
    film: Path,
    executor: LocalExecutor,
    tmp_path: Path,
) -> None:
    repaired: list[int] = []

    def count(event: Progress) -> None:
        if event.stage == "repairing":
            repaired.append(event.done)
            if at_once and event.done >= 12:
                raise KeyboardInterrupt

    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt if at_once else Interrupted):
        run_job(
            film,
            target,
            SETTINGS,
            executor=executor,
            on_progress=count,
            cancelled=lambda: max(repaired, default=0) >= 12,
        )
    assert not target.exists()
    again = run_job(film, target, SETTINGS.model_copy(update={"chunk": 3}), executor=executor)
    assert again.resumed == len(FAULTS)
    assert again.qc == report.qc
    assert digests(target) == digests(result)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_what_cannot_be_mended_is_kept_as_it_was_and_told(film: Path, tmp_path: Path) -> None:
    class Black(Faulty):
        blended = False  # so neither strength nor blending changes anything

    settings = SETTINGS.model_copy(update={"duration": 2 * LENGTH / 25, "proof": "warn"})
    report = run_job(
        film, tmp_path / "out.mkv", settings, executor=LocalExecutor(worker_spec(settings), model=Black(film))
    )
    assert report.qc is not None
    (record,) = report.qc
    assert (record.kept, len(record.attempts), record.mended) == (1, 3, False)
    assert any("done again 2 times without success; kept with blend strength 0.5" in line for line in report.warnings)


def test_a_good_result_is_done_once(clip: Path, tiny: Settings, whole: dict[str, Any], tmp_path: Path) -> None:
    report = run_job(clip, tmp_path / "out.mp4", tiny.model_copy(update={"qc": True}))
    assert report.qc == ()
    assert "repairing" not in report.stages


def test_two_parts_of_a_shot_must_meet() -> None:
    assert seam_between((90.0, 4.0), (90.5, 4.2)) is None
    assert seam_between((90.0, 4.0), (93.0, 4.0)) == "light steps by 3.0 of 255 where two segments meet"
    assert seam_between((90.0, 4.0), (90.0, 2.0)) == "sharpness steps by 50% where two segments meet"
