from __future__ import annotations

import torch
from torch import Tensor

from dossr_video.models.compact.dots import without_dots

FLAT = torch.full((1, 3, 16, 20), 0.5)


def enlarged(frames: Tensor) -> Tensor:
    return frames.repeat_interleave(4, 2).repeat_interleave(4, 3)


def far_from(done: Tensor, wanted: Tensor) -> float:
    """The largest difference, but for the mean that stays."""
    change = done - wanted
    return float((change - change.median()).abs().max())


def test_a_dot_that_the_frame_does_not_know_goes_and_takes_no_mean_with_it() -> None:
    pictures = enlarged(FLAT)
    for y, x, colour in ((21, 33, [0.2, 0.2, 0.2]), (40, 61, [-0.3, -0.1, -0.2])):
        pictures[0, :, y : y + 2, x : x + 2] += torch.tensor(colour)[:, None, None]
    done = without_dots(pictures, FLAT)
    assert float((done.mean(1) - 0.5).abs().max()) < 0.05  # what is left of the second one is its hue
    torch.testing.assert_close(done.mean((2, 3)), pictures.mean((2, 3)), rtol=0, atol=1e-6)


def test_edges_lines_and_what_the_frame_shows_stay() -> None:
    edge = enlarged(FLAT)
    edge[..., 31:] = 0.9
    line = enlarged(FLAT)
    line[..., 30:32, :] = 0.8
    slanted = enlarged(FLAT)
    for y in range(64):
        slanted[0, :, y, y // 2 + 20 : y // 2 + 22] = 0.2
    for pictures in (edge, line, slanted):
        assert far_from(without_dots(pictures, FLAT), pictures) < 1e-6
    stars = FLAT.clone()
    stars[..., 8, 10] = 0.7
    pictures = enlarged(FLAT)
    pictures[..., 33:35, 41:43] = 0.7
    assert far_from(without_dots(pictures, stars), pictures) < 1e-6


def test_the_rows_of_a_strip_see_those_of_the_next() -> None:
    frames = 0.2 * torch.rand(2, 3, 150, 12, generator=torch.Generator().manual_seed(0))
    pictures = enlarged(frames) + 0.2 * torch.randn(2, 3, 600, 48, generator=torch.Generator().manual_seed(1))
    whole = without_dots(pictures, frames)
    turned = without_dots(pictures.flip(2), frames.flip(2)).flip(2)  # strips begin elsewhere
    torch.testing.assert_close(turned, whole, rtol=0, atol=1e-6)
    assert (whole - pictures).abs().mean() > 0.01
