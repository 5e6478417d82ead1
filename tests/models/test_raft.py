"""Learned flow in the place of DIS: how a network is called, where it is refused, and one of a user's own."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dossr_video import Settings, upscale, upscale_frames
from dossr_video.errors import ModelError
from dossr_video.frames import luma
from dossr_video.models.raft import RaftFlow, load_flow
from dossr_video.models.registry import load_model
from dossr_video.temporal.flow import DisFlow, motion

CPU = torch.device("cpu")


def panned(frames: int, step: int) -> Tensor:
    """(T, 3, 36, 52): a texture whose content moves left by `step` pixels a frame."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((36, 52 + step * frames, 3), np.float32), (0, 0), 1.5)
    texture = (texture - texture.mean()) / texture.std() * 0.15 + 0.5
    clip = np.stack([texture[:, step * t : step * t + 52] for t in range(frames)])
    return torch.from_numpy(clip.clip(0, 1)).permute(0, 3, 1, 2).contiguous()


def shift(source: Tensor, target: Tensor) -> Tensor:
    """The flow (N, 2, H, W) of pictures that move as a whole, by phase correlation: a small estimator that works."""
    pairs = zip(luma(source)[:, 0].numpy(), luma(target)[:, 0].numpy(), strict=True)
    window = cv2.createHanningWindow((source.shape[-1], source.shape[-2]), cv2.CV_32F)
    steps = torch.tensor([cv2.phaseCorrelate(a, b, window)[0] for a, b in pairs], dtype=torch.float32)
    return steps.view(-1, 2, 1, 1).expand(-1, 2, *source.shape[-2:]).contiguous()


class Network(nn.Module):
    """Called as torchvision's RAFT is, and as strict."""

    def forward(self, source: Tensor, target: Tensor) -> list[Tensor]:
        for images in (source, target):
            assert images.shape[1] == 3
            assert all(side % 8 == 0 and side >= 128 for side in images.shape[-2:])
            assert -1 <= images.min() < -0.2
            assert 0.2 < images.max() <= 1
        flow = shift(source, target)
        return [0 * flow, flow]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_gets_what_it_takes_and_its_last_flow_counts(channels: int) -> None:
    frames = panned(2, 3)[:, :channels]
    flow = RaftFlow(Network(), "digest", CPU)(frames[1:], frames[:1])
    assert flow.shape == (1, 2, 36, 52)
    assert (flow[0, 0] - 3).abs().max() < 0.3
    assert flow[0, 1].abs().max() < 0.3


def test_an_estimator_of_your_own_steadies_the_result() -> None:
    frames = panned(6, 2)
    frames = (frames + 0.02 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert motion(None, frames, shift).confidence[1:, :, 4:-4, 8:-8].mean() > 0.9
    model = load_model("compact", device="cpu", dtype="float32")

    def unsteadiness(blend: str) -> float:
        result = upscale_frames(frames, model=model, flow=shift, settings=Settings(blend=blend))
        moved = result[:-1, :, 16:-16, 24:-16] - result[1:, :, 16:-16, 16:-24]  # 8 pixels a frame
        return float(moved.square().mean())

    assert unsteadiness("pixel") < 0.7 * unsteadiness("off")


def test_dis_by_its_presets() -> None:
    assert load_flow("medium", device=CPU) == DisFlow("medium")
    frames = panned(2, 2)
    fast, medium = (load_flow(name, device=CPU)(frames[1:], frames[:1]) for name in ("ultrafast", "medium"))
    assert not torch.equal(fast, medium)


def test_a_file_that_is_not_there(tmp_path: Path, sample: Path) -> None:
    with pytest.raises(ModelError, match=r"--flow .*raft\.pth is no file with weights") as failure:
        upscale(sample, tmp_path / "o.mp4", Settings(model="bicubic", flow=str(tmp_path / "raft.pth")))
    assert "raft_small" in failure.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_torchvision_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"feature_encoder.weight": torch.zeros(1)}, tmp_path / "raft.pth")
    for name in ("torchvision", "torchvision.models"):  # the second may be imported already
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match="needs torchvision") as failure:
        load_flow(str(tmp_path / "raft.pth"), device=CPU)
    assert "install the torchvision" in failure.value.hint
    assert "\n" not in failure.value.message
