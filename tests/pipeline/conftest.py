"""A small untrained model with latents, which is quick to sample."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from dossr_video.models.base import DomainShiftModel
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.large.denoiser import Denoiser
from dossr_video.models.large.model import SEEN, LargeModel, LargeNetworks
from dossr_video.models.rrdbnet import RRDBNet


@pytest.fixture(scope="session")
def sampled() -> DomainShiftModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x4plus, compact = RRDBNet(features=8, blocks=1, growth=4), Restorer(features=8, convolutions=2)
        networks = LargeNetworks(x4plus, compact, Denoiser(width=16, deep_width=16, seen=SEEN))
        nn.init.normal_(networks.denoiser.tail.weight, std=0.02)
    networks.codec.std.fill_(0.1)
    model = LargeModel(networks, name="sampled", digest="", device=torch.device("cpu"), dtype=torch.float32)
    model.defaults = replace(model.defaults, color_fix="none")  # which would undo what blending does to coarse detail
    return model
