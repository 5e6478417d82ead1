"""Noise: a pure function of its key, Gaussian whatever the motion did to it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from dossr_video.diffusion.noise import NoiseState, cell_origins, make_noise
from dossr_video.frames import Motion

SIZE = (4, 45, 80)
KINDS = ("shared", "warped", "independent")


def moving(frames: int, *, x: float = 0.0, y: float = 0.0, zoom: float = 0.0, first: bool = True) -> Motion:
    """Content that moves by (x, y) input pixels per frame and grows by `zoom`; two input pixels per latent cell."""
    rows, columns = torch.meshgrid(torch.arange(90.0) - 45, torch.arange(160.0) - 80, indexing="ij")
    flow = torch.stack([-x - zoom * columns, -y - zoom * rows]).expand(frames, 2, 90, 160).clone()
    confidence = torch.ones(frames, 1, 90, 160)
    if first:
        flow[0], confidence[0] = 0, 0
    return Motion(flow, confidence)


def draw(kind: str, motion: Motion, *, start: int = 0, number: int = 1, seed: int = 0, shot: int = 0) -> Tensor:
    frames = range(start, start + len(motion.flow))
    return make_noise(NoiseState(), motion, frames, SIZE, kind=kind, seed=seed, shot=shot)(number)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_key_counts(kind: str) -> None:
    motion = moving(3, x=1.0)
    noise = draw(kind, motion)
    assert noise.shape == (3, *SIZE)
    assert noise.dtype == torch.float32
    assert torch.equal(noise, draw(kind, motion))
    for other in ({"seed": 1}, {"shot": 1}, {"number": 2}):
        assert not torch.equal(noise, draw(kind, motion, **other))
    assert torch.equal(noise[0], draw(kind, motion, start=7)[0]) == (kind == "shared")


def test_known_values_hold_in_another_process() -> None:
    # A plan resumed on another machine must draw the same; Python's hash() would not.
    code = (
        "from dossr_video.diffusion.noise import SharedNoise; "
        "print(SharedNoise(5, 2)(1, [0], (1, 1, 3)).flatten().tolist())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "[-0.4736270308494568, 0.9892088174819946, -0.18452896177768707]\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 3, 4])
def test_chunks_do_not_matter(kind: str, cut: int) -> None:
    motion = moving(6, x=0.7, y=-0.4, zoom=0.01)
    whole = make_noise(NoiseState(), motion, range(10, 16), SIZE, kind=kind, seed=0, shot=0)
    first = make_noise(
        NoiseState(), Motion(motion.flow[:cut], motion.confidence[:cut]), range(10, 10 + cut), SIZE,
        kind=kind, seed=0, shot=0,
    )  # fmt: skip
    parts = {number: [first(number)] for number in (0, 1)}
    rest = Motion(motion.flow[cut:], motion.confidence[cut:])
    second = make_noise(first.state(), rest, range(10 + cut, 16), SIZE, kind=kind, seed=0, shot=0)
    for number, drawn in parts.items():
        assert torch.equal(torch.cat([*drawn, second(number)]), whole(number))


@pytest.mark.parametrize("motion", [moving(20, x=1.3, y=0.6), moving(20, zoom=0.03), moving(20, zoom=-0.03)])
def test_warped_noise_stays_gaussian_and_white(motion: Motion) -> None:
    last = draw("warped", motion)[-1]
    cells = last[0].numel()
    assert abs(last.mean()) < 4 / last.numel() ** 0.5
    assert abs(last.var() - 1) < 4 * (2 / last.numel()) ** 0.5
    assert abs(last.pow(4).mean() - 3) < 4 * (96 / last.numel()) ** 0.5
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        correlation = (last * last.roll((dy, dx), (1, 2))).mean((1, 2))
        assert correlation.abs().max() < 4.5 / cells**0.5
    assert torch.unique(last.flatten(1), dim=1).shape[1] == cells  # no cell's noise twice


def test_warped_noise_follows_slow_motion() -> None:
    # 0.5 input pixels per frame are a quarter of a cell: rounded frame by frame it would never move.
    noise = draw("warped", moving(9, x=0.5))[:, :, :, 4:-4]
    moved = noise[8][:, :, 2:]
    assert torch.equal(moved, noise[0][:, :, :-2])


def test_warped_noise_is_fresh_where_the_motion_fails() -> None:
    motion = moving(2, x=2.0)
    motion.confidence[1, :, :, 80:] = 0
    noise = draw("warped", motion)
    assert torch.equal(noise[1, :, :, 2:40], noise[0, :, :, 1:39])
    fresh = noise[1, :, :, 41:].flatten()
    assert torch.isin(fresh, noise[0].flatten()).float().mean() < 0.001  # equal by chance, in float32


def test_no_two_cells_take_the_same_noise() -> None:
    origins, offsets = cell_origins(moving(5, zoom=-0.1), None, SIZE[1:])
    for origin in origins[1:]:
        kept = origin[origin >= 0]
        assert len(torch.unique(kept)) == len(kept)
        assert 0 < len(kept) < len(origin)
    assert offsets.abs().max() <= 0.5
