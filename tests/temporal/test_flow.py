"""Flow, the confidence in it, and warping, on made motion that is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.frames import luma
from dossr_video.temporal import warping
from dossr_video.temporal.flow import DisFlow, box_mean, motion, plane_sum
from dossr_video.temporal.warping import Mode, resize_flow, warp, warped_rows

H, W = 96, 128


def texture(seed: int, *, h: int = H, w: int = W, sigma: float = 1.5) -> Tensor:
    """(3, h, w) in [0, 1]: smooth random colours."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((h, w, 3), np.float32), (0, 0), sigma)
    noise = (noise - noise.mean()) / noise.std() * 0.15 + 0.5
    return torch.from_numpy(noise.clip(0, 1)).permute(2, 0, 1)


def sliding(frames: int, x: int, y: int) -> Tensor:
    """(T, 3, H, W) whose content moves by (x, y) pixels a frame."""
    wide = texture(1, h=H + 64, w=W + 64)
    return torch.stack([wide[:, 32 - t * y : 32 - t * y + H, 32 - t * x : 32 - t * x + W] for t in range(frames)])


@pytest.mark.parametrize("preset", ["fast", "medium", "fine"])
def test_flow_leads_to_where_the_content_was(preset: str) -> None:
    found = motion(None, sliding(4, 3, -2), DisFlow(preset))  # type: ignore[arg-type]
    inner = found.flow[1:, :, 16:-16, 16:-16]
    assert (inner[:, 0] + 3).abs().mean() < 0.2
    assert (inner[:, 1] - 2).abs().mean() < 0.2
    assert found.confidence[1:, :, 16:-16, 16:-16].mean() > 0.95
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1


def test_nothing_is_known_at_the_start_of_a_shot() -> None:
    found = motion(None, sliding(2, 1, 0), DisFlow())
    assert not found.flow[0].any()
    assert not found.confidence[0].any()
    alone = motion(None, sliding(1, 1, 0), DisFlow())
    assert (alone.flow.shape, alone.confidence.shape) == ((1, 2, H, W), (1, 1, H, W))


def test_the_batch_does_not_matter() -> None:
    frames = sliding(6, 2, 1)
    whole = motion(None, frames, DisFlow())
    for cut in (1, 2, 5):
        parts = [motion(None, frames[:cut], DisFlow()), motion(frames[cut - 1], frames[cut:], DisFlow())]
        assert torch.equal(torch.cat([part.flow for part in parts]), whole.flow)
        assert torch.equal(torch.cat([part.confidence for part in parts]), whole.confidence)


def test_confidence_ends_where_the_background_appears() -> None:
    background, patch = texture(2), texture(3, h=32, w=32)
    frames = background.repeat(2, 1, 1, 1)
    frames[0, :, 32:64, 40:72] = patch
    frames[1, :, 32:64, 48:80] = patch
    found = motion(None, frames, DisFlow())
    uncovered = found.confidence[1, 0, 34:62, 40:47]
    assert uncovered.mean() < 0.15
    still = torch.ones(H, W, dtype=torch.bool)
    still[24:72, 32:88] = False
    assert found.confidence[1, 0][still].mean() > 0.98
    assert found.flow[1, :, still].abs().max() == 0


def test_a_thing_of_another_colour_but_the_same_brightness_leaves_no_trust_behind() -> None:
    torch.manual_seed(0)
    grey = torch.full((2, 3, H, W), 0.35) + 0.25 * texture(4).mean(0)
    blue = torch.tensor([-0.16, -0.02, 0.52]).view(3, 1, 1)
    for t in range(2):
        grey[t, :, 32:64, 40 + 5 * t : 72 + 5 * t] += blue
    frames = (grey + 0.015 * torch.randn(grey.shape)).clamp(0, 1)
    assert (luma(frames)[0] - luma(frames)[1]).abs().mean() < 0.02
    found = motion(None, frames, DisFlow())
    assert found.confidence[1, 0, 36:60, 40:44].mean() < 0.1
    assert found.confidence[1, 0, :24].mean() > 0.9


def test_grain_and_exposure_do_not_cost_confidence() -> None:
    torch.manual_seed(0)
    frames = sliding(2, 2, 0) + 0.03 * torch.randn(2, 3, H, W)
    frames[1] *= 1.03
    found = motion(None, frames.clamp(0, 1), DisFlow())
    assert found.confidence[1, :, 16:-16, 16:-16].mean() > 0.8


def test_a_still_title_stays_where_it_is_over_a_moving_background() -> None:
    frames = sliding(2, 2, 0)
    frames[:, :, 40:56, 30:98] = 0.05
    frames[:, :, 44:52, 34:94:4] = 0.95
    found = motion(None, frames, DisFlow())
    title = found.flow[1, :, 42:54, 36:92]
    assert title.abs().mean() < 0.05
    assert found.confidence[1, 0, 42:54, 36:92].mean() > 0.95


def test_nothing_is_known_between_pictures_of_different_things() -> None:
    frames = torch.stack([texture(4), texture(5)]).sub(0.5).mul(2).add(0.5).clamp(0, 1)
    found = motion(None, frames, DisFlow())
    assert found.confidence[1].mean() < 0.25


@pytest.mark.parametrize("size", [(8, 200), (11, 11), (12, 12), (13, 40)])
def test_small_frames(size: tuple[int, int]) -> None:
    frames = texture(6, h=size[0], w=size[1]).repeat(2, 1, 1, 1)
    found = motion(None, frames, DisFlow())
    assert not found.flow.any()
    assert found.confidence[1].min() > 0.99


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_warp_samples_at_the_flow(mode: str) -> None:
    picture = texture(7)[None]
    flow = torch.stack([torch.full((H, W), 3.0), torch.full((H, W), -2.0)])[None]
    assert torch.allclose(warp(picture, flow, mode=mode)[..., 2:, :-3], picture[..., :-2, 3:], atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(warp(picture, 0 * flow), picture, atol=1e-5)


def test_warp_beyond_the_border_repeats_it() -> None:
    picture = texture(7)[None]
    moved = warp(picture, torch.full((1, 2, H, W), 500.0), mode="bilinear")
    assert torch.allclose(moved, picture[..., -1:, -1:].expand_as(moved), atol=1e-6)


@pytest.mark.parametrize("size", [(4 * H, 4 * W), (H // 2, W // 2)])
def test_flow_is_scaled_to_the_size_of_what_is_moved(size: tuple[int, int]) -> None:
    picture = texture(8, h=size[0], w=size[1])[None]
    flow = torch.full((1, 2, H, W), 4.0)
    step = 4 * size[0] // H
    moved = warp(picture, flow)
    assert torch.allclose(moved[..., :-step, :-step], picture[..., step:, step:], atol=1e-4)


def test_half_precision_moves_as_far() -> None:
    picture = texture(8, h=16, w=2200)[None]
    flow = torch.full((1, 2, 16, 2200), 0.5)
    assert torch.allclose(warp(picture.half(), flow.half()).float(), warp(picture, flow), atol=2e-3)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("scale", "rows"), [(1, (0, H)), (4, (0, 4 * H)), (4, (92, 181)), (2, (70, 2 * H))])
def test_opencv_and_pytorch_warp_alike(
    mode: Mode, scale: int, rows: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a thirtieth of a code, most of it PyTorch's rounding; also where the flow leads out of the picture."""
    image = texture(9, h=scale * H, w=scale * W)[None]
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 200, (H, W, 2)).astype(np.float32), (0, 0), 8)
    flow = torch.from_numpy(noise).permute(2, 0, 1)[None]
    found = []
    for exact in (True, False):
        monkeypatch.setattr(warping, "EXACT", exact)
        found.append(warped_rows(image, flow, *rows, mode))
    assert found[0].shape == (1, 3, rows[1] - rows[0], scale * W)
    assert (found[0] - found[1]).abs().max() < 0.03 / 255
    wanted = torch.nn.functional.interpolate(flow, scale_factor=scale, mode="bilinear") * scale
    assert torch.allclose(resize_flow(flow, (scale * H, scale * W)), wanted, atol=1e-4)


def test_only_pytorch_warps_with_gradients() -> None:
    """OpenCV has none; and one before its fifth version rounds to 1/32 pixel, so that it is not taken."""
    assert (int(cv2.__version__.partition(".")[0]) > 4) == warping.EXACT
    image, flow = texture(9)[None], torch.full((1, 2, H, W), 0.3)
    assert not warp(image, flow).requires_grad
    assert warp(image.clone().requires_grad_(), flow).requires_grad
    assert warp(image, flow.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("size", [(4, 2**15), (2**15, 4)])
def test_pictures_that_are_too_large_for_opencv_are_moved_too(size: tuple[int, int]) -> None:
    images = torch.rand(1, 1, *size)
    flow = torch.zeros(1, 2, *size)
    flow[:, 0] = 1
    assert torch.allclose(warp(images, flow)[..., :-1], images[..., 1:], atol=2e-3)


def test_luma_of_luma_is_itself() -> None:
    frames = texture(10)[None]
    grey = luma(frames)
    assert grey.shape == (1, 1, H, W)
    assert torch.allclose(grey[0, 0], frames[0, 0] * 0.299 + frames[0, 1] * 0.587 + frames[0, 2] * 0.114, atol=1e-6)
    assert torch.equal(luma(grey), grey)
    assert torch.allclose(DisFlow()(grey, grey), torch.zeros(1, 2, H, W))


@pytest.mark.parametrize("size", [(1, 3), (4, 5), (33, 40)])
def test_a_box_mean_is_a_mean_wherever_it_is_computed(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)[..., :-1, :] if size[0] > 4 else torch.rand(2, 3, *size)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="replicate")
    wanted = torch.nn.functional.avg_pool2d(padded, 5, stride=1)
    assert torch.allclose(box_mean(images), wanted, atol=1e-6)
    with_gradient = box_mean(images.clone().requires_grad_())
    assert with_gradient.requires_grad
    assert torch.allclose(with_gradient, wanted, atol=1e-6)


def test_a_sum_is_the_same_for_any_number_of_threads() -> None:
    """PyTorch's own is not, from 32,768 values on."""
    images = torch.rand(1, 1, 300, 400, generator=torch.Generator().manual_seed(0))
    threads, sums = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        try:
            sums.append((plane_sum(images), images.sum((2, 3), keepdim=True)))
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(found, sums[0][0]) for found, _ in sums)
    assert any(not torch.equal(plain, sums[0][1]) for _, plain in sums)
    assert torch.allclose(sums[0][0], sums[0][1])
