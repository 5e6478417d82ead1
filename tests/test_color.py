from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dossr_video.color import color_fix, keep_grey
from dossr_video.frames import luma

COLOR = Path(__file__).parent / "data" / "golden" / "tiny" / "color.npz"


@pytest.mark.parametrize("kind", ["adain", "wavelet"])
def test_colour_fixes_are_the_published_ones(kind):
    with np.load(COLOR) as file:
        golden = {name: torch.from_numpy(file[name]) for name in file.files}
    torch.testing.assert_close(color_fix(golden["content"], golden["style"], kind), golden[kind], rtol=0, atol=1e-6)


def test_none_leaves_the_pictures_alone():
    pictures = torch.rand(1, 3, 8, 8)
    assert color_fix(pictures, pictures.flip(1), "none") is pictures


@pytest.mark.parametrize("kind", ["adain", "wavelet"])
@pytest.mark.parametrize("cast", [0.1, -0.2])
def test_a_colour_cast_is_taken_out(kind, cast):
    truth = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    tint = cast * torch.tensor([1.0, -0.5, 0.25]).view(1, 3, 1, 1)
    torch.testing.assert_close(color_fix(truth + tint, truth, kind), truth, rtol=0, atol=1e-5)


def test_frames_without_colour_stay_without_and_keep_their_tint():
    generator = torch.Generator().manual_seed(1)
    grey = torch.rand(1, 1, 8, 8, generator=generator).mul(0.9) + torch.tensor([0.0, 1, 1]).view(1, 3, 1, 1) / 255
    colored = grey.clone()
    colored[0, 0, 0, 0] += 0.1  # a single pixel is colour enough
    frames, pictures = torch.cat([grey, colored]), torch.rand(2, 3, 32, 32, generator=generator)
    kept = keep_grey(pictures, frames)
    assert torch.equal(kept[1], pictures[1])
    tint = kept[0] - kept[0].mean(0, keepdim=True)
    expected = (grey[0] - grey[0].mean(0, keepdim=True)).mean((1, 2), keepdim=True).expand_as(tint)
    torch.testing.assert_close(tint, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(luma(kept[:1]), luma(pictures[:1]), rtol=0, atol=1e-3)
    assert keep_grey(pictures[1:], colored).data_ptr() == pictures[1:].data_ptr()  # nothing is copied
