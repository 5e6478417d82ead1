from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dossr_video.quality.cost import multiplications, processor_seconds

Clip = NDArray[np.uint8]


def test_multiplications_of_a_convolution(truth: Clip) -> None:
    layer = nn.Conv2d(3, 8, 3, padding=1)

    @torch.inference_mode()
    def enlarge(clip: Clip) -> Clip:
        layer(torch.from_numpy(clip).permute(0, 3, 1, 2).float())
        return clip

    assert multiplications(enlarge, truth) == 3 * 8 * 9


def test_methods_take_turns(truth: Clip) -> None:
    calls = []

    def method(name: str) -> object:
        def enlarge(clip: Clip) -> Clip:
            calls.append(name)
            return clip

        return enlarge

    seconds = processor_seconds({"a": method("a"), "b": method("b")}, truth, rounds=3)
    assert calls == ["a", "b"] * 3
    assert seconds.keys() == {"a", "b"}
    assert min(seconds.values()) >= 0
