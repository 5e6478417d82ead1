"""A slow segment that is stopped in the middle, or killed, goes on there, and the result is the same."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import torch

from dossr_video.errors import Interrupted
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.run import run_job
from dossr_video.pipeline import keeping
from dossr_video.settings import Settings

DOSSR = Path(__file__).parents[1] / "data" / "golden" / "tiny" / "tiny.ckpt"
OPTIONS: dict[str, dict[str, Any]] = {
    "bicubic": {},
    "dust": {"dust": 0.7, "deflicker": True, "chunk": 3},
    "compact": {"model": "compact", "deflicker": True, "chunk": 2},
    "DoSSR": {"model": str(DOSSR), "steps": 2, "blend": "latent", "noise": "warped"},
    "warm start": {"model": str(DOSSR), "steps": 3, "warm_start": 1, "noise": "warped", "chunk": 2, "proof": "warn"},
    "ten bits": {"pix_fmt": "yuv422p10le"},
    "ffv1": {"encoder": "ffv1", "speed": None},
}


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every segment counts as slow."""
    monkeypatch.setattr(keeping, "QUICK", -1.0)


@pytest.fixture
def source(make_clip: Callable[..., Path], tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", [18])


def stopped(source: Path, target: Path, settings: Settings, *, after: int, error: type[BaseException] | None) -> None:
    """Stop after so many frames; with an `error` at once."""
    upscaled = 0

    def show(event: Progress) -> None:
        nonlocal upscaled
        upscaled = event.done if event.stage == "upscaling" else 0
        if error is not None and upscaled >= after:
            raise error

    with pytest.raises(error or Interrupted):
        run_job(source, target, settings, on_progress=show, cancelled=lambda: upscaled >= after)
    assert after <= upscaled < 18


@pytest.mark.parametrize("name", OPTIONS)
def test_a_segment_goes_on_where_it_was_stopped(
    name: str, source: Path, tiny: Settings, content: Callable[[Path], Any], tmp_path: Path
) -> None:
    settings = tiny.model_copy(update=OPTIONS[name])
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    first = run_job(source, whole, settings)
    for after in (4, 11):
        stopped(source, target, settings, after=after, error=None)
        assert len(list((tmp_path / "out.mkv.dossr" / "segments").glob("*.state"))) == 1
    report = run_job(source, target, settings)
    assert content(target) == content(whole)
    assert (report.frames, report.specks) == (first.frames, first.specks)
    assert not (tmp_path / "out.mkv.dossr").exists()


def test_what_is_kept_is_only_computed_once(source: Path, tiny: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    stopped(source, target, tiny, after=9, error=None)
    counts: list[int] = []

    def show(event: Progress) -> None:
        if event.stage == "upscaling":
            counts.append(event.done)

    run_job(source, target, tiny, on_progress=show)
    assert [count for count in counts if 0 < count < 9] == []


@pytest.mark.parametrize("damaged", [None, ".frames", ".state"])
def test_a_killed_segment_goes_on_from_what_was_kept_last(
    damaged: str | None,
    source: Path,
    tiny: Settings,
    content: Callable[[Path], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "EVERY", -1.0)
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    run_job(source, whole, tiny)
    stopped(source, target, tiny, after=10, error=KeyboardInterrupt)
    if damaged is not None:
        (file,) = (tmp_path / "out.mkv.dossr" / "segments").glob(f"*{damaged}")
        kept = bytearray(file.read_bytes())
        kept[len(kept) // 2] ^= 4
        file.write_bytes(kept)
    run_job(source, target, tiny)
    assert content(target) == content(whole)


def test_a_disk_that_fills_while_the_state_is_written_is_an_error_of_the_disk() -> None:
    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "no space left on device")
            return super().write(content)

    hashed = keeping._Hashed(Full())
    torch.save(torch.zeros(5000), cast(BinaryIO, hashed))
    with pytest.raises(OSError, match="no space"):
        hashed.digest()


def test_a_disk_that_is_full_ends_the_keeping_and_not_the_work(tmp_path: Path) -> None:
    keeper = keeping.Keeper(tmp_path / "not there" / "000000.mkv", "key")
    keeper.add(lambda: b"a frame")
    assert not keeper.keep(keeping.Done())
    assert keeper.load("cpu").written == 0
