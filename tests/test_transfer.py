from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.models.registry import load_model
from dossr_video.pipeline import stages
from dossr_video.transfer import in_main_memory, page_locked, to_device, to_main_memory

CPU = torch.device("cpu")


def test_a_copy_in_main_memory_is_laid_out_alike() -> None:
    weight = torch.randn(8, 4, 3, 3).to(memory_format=torch.channels_last)
    copy = in_main_memory(weight)
    assert torch.equal(copy, weight)
    assert copy.stride() == weight.stride()
    assert copy.data_ptr() != weight.data_ptr()


def test_on_a_cpu_nothing_is_copied() -> None:
    picture = torch.rand(1, 3, 4, 4)
    for same in (page_locked(picture, CPU), to_device(picture, CPU), to_main_memory(picture)):
        assert same is picture


def test_frames_and_pictures_go_that_way(moving: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    there, back = [], []

    def noted_there(frames: Tensor, device: torch.device) -> Tensor:
        there.append((len(frames), device))
        return page_locked(frames, device)

    def noted_back(pictures: Tensor) -> Tensor:
        back.append(tuple(pictures.shape))
        return to_main_memory(pictures)

    monkeypatch.setattr(stages, "page_locked", noted_there)
    monkeypatch.setattr(stages, "to_main_memory", noted_back)
    upscale_frames(moving[:4], model=load_model("bicubic", device="cpu", dtype="float32"), chunk=2, scale=2)
    assert there == [(2, CPU)] * 2
    assert back == [(2, 3, 64, 80)] * 2


@pytest.mark.gpu
def test_copies_on_the_accelerator(moving: Tensor) -> None:
    device = torch.device("cuda")
    locked = page_locked(moving, device)
    assert locked.is_pinned()
    there = to_device(locked, device)
    back = to_main_memory(there * 2)
    assert back.is_pinned()
    assert torch.equal(back, moving * 2)
    results = [upscale_frames(moving, model=load_model("compact", device=name, dtype="float32"), blend="off")
               for name in ("cpu", "cuda")]  # fmt: skip
    assert (results[0] - results[1]).abs().max() < 1e-3
