from __future__ import annotations

import gc
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import dossr_video
from dossr_video.errors import ModelError
from dossr_video.frames import Chunk, Motion
from dossr_video.jobs.resolve import resolve_sampling, resolve_temporal
from dossr_video.models.base import Condition, DomainShiftModel, HiddenState, Restored
from dossr_video.models.bicubic import Bicubic
from dossr_video.models.registry import load_model
from dossr_video.models.tiled import TiledModel
from dossr_video.pipeline import shot
from dossr_video.pipeline.memory import MemoryBudget, Tiles
from dossr_video.pipeline.segment import chunk_length
from dossr_video.pipeline.shot import pad, resize
from dossr_video.pipeline.stages import Work, upscaled, with_motion
from dossr_video.restoration.spec import RestorationSpec
from dossr_video.settings import Settings
from dossr_video.temporal.flow import CoarseFlow, DisFlow, motion

SIZE = (128, 160)


def run(model: DomainShiftModel, frames: Tensor, length: int, warn: Callable[[str], None], **options: Any) -> Tensor:
    settings = Settings.of({"chunk": length, **options})
    moved = motion(None, frames, DisFlow())
    indices = tuple(range(len(frames)))
    whole = Work(Chunk(frames, indices, indices), moved, ((),) * len(indices))
    work = [whole.part(start, start + length) for start in range(0, len(frames), length)]
    sampling = resolve_sampling(settings, model.defaults, model=model.name)
    temporal = resolve_temporal(settings, seed=settings.seed)
    budget = MemoryBudget(model, DisFlow(), frames=length, tiles=Tiles(settings.tile))
    done = upscaled(work, budget, warn, sampling, temporal, RestorationSpec(), SIZE, shot=0)
    return torch.cat([result.pictures for result in done])


def fail(warning: str) -> None:
    pytest.fail(warning)


@pytest.mark.parametrize("noise", ["shared", "warped", "independent"])
def test_the_chunk_length_does_not_matter(sampled: DomainShiftModel, moving: Tensor, noise: str) -> None:
    options = {"noise": noise, "blend": "latent", "steps": 2, "final": "landing"}
    whole = run(sampled, moving, 16, fail, **options).mul(255).round()
    for length in (1, 4, 7):
        cut = run(sampled, moving, length, fail, **options).mul(255).round()
        # A batched kernel may round differently: one code on a tenth of a percent.
        assert (whole - cut).abs().max() <= 1
        assert (whole != cut).float().mean() <= 1e-3


def test_the_seed_decides_the_noise(sampled: DomainShiftModel, moving: Tensor) -> None:
    def result(seed: int) -> Tensor:
        return run(sampled, moving[:2], 2, fail, seed=seed, steps=2, final="landing")

    assert torch.equal(result(1), result(1))
    assert not torch.equal(result(1), result(2))


def test_tiles_give_nearly_the_whole_frames_result(sampled: DomainShiftModel, moving: Tensor) -> None:
    large = torch.nn.functional.interpolate(moving[:3], (128, 160), mode="bicubic").clamp(0, 1)
    frames = motion(None, large, DisFlow())
    still = Motion(frames.flow, frames.confidence)
    whole = sampled.restore(large, still, None)
    tiled = TiledModel(sampled, 80).restore(large, still, None)
    assert whole.hidden is not None
    assert tiled.hidden is not None
    assert [part.shape for part in tiled.hidden] == [part.shape for part in whole.hidden]
    assert (tiled.pictures - whole.pictures).abs().mean() < 2e-3
    pictures = whole.pictures.clamp(0, 1)
    latents = sampled.encode(pictures)
    assert torch.allclose(TiledModel(sampled, 80).encode(pictures), latents, atol=1e-5)
    assert torch.allclose(TiledModel(sampled, 80).decode(latents), sampled.decode(latents), atol=1e-5)


def cramped(model: DomainShiftModel, *, frames: int, side: int) -> DomainShiftModel:
    """The model with memory for so many frames of so many input pixels."""

    def denoise(x: Tensor, t: int, condition: Condition) -> Tensor:
        if len(x) > frames or max(x.shape[-2:]) * model.latent_stride > side * model.scale:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return model.denoise(x, t, condition)

    small = copy(model)
    small.denoise = denoise  # type: ignore[method-assign]
    return small


def test_out_of_memory_halves_the_chunk_and_the_result_stays(sampled: DomainShiftModel, moving: Tensor) -> None:
    warnings: list[str] = []
    result = run(cramped(sampled, frames=2, side=1000), moving, 8, warnings.append, steps=1)
    assert torch.allclose(result, run(sampled, moving, 8, fail, steps=1), atol=1e-5)
    assert warnings == [
        "memory ran out at frame 0: going on with 4 at a time",
        "memory ran out at frame 0: going on with 2 at a time",
    ]


def test_out_of_memory_then_shrinks_the_tile(sampled: DomainShiftModel, moving: Tensor) -> None:
    large = torch.nn.functional.interpolate(moving[:2], (128, 160), mode="bicubic").clamp(0, 1)
    warnings: list[str] = []
    result = run(cramped(sampled, frames=1, side=100), large, 2, warnings.append, steps=1)
    assert "in tiles of 80 pixels" in warnings[-1]
    assert (result - run(sampled, large, 2, fail, steps=1)).abs().mean() < 5e-3


def test_out_of_memory_ends_in_an_error(sampled: DomainShiftModel, moving: Tensor) -> None:
    with pytest.raises(ModelError, match="not even a tile of 64 pixels"):
        run(cramped(sampled, frames=0, side=0), moving, 2, lambda line: None)


def test_out_of_memory_in_blending_ends_in_an_error(moving: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*inputs: Any, **options: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(shot, "blend_pictures", full)
    with pytest.raises(ModelError, match="memory ran out while frame 0 was blended"):
        dossr_video.upscale_frames(moving[:2], model=load_model("compact", device="cpu", dtype="float32"))


def test_pictures_are_let_go_of_before_the_next_are_made(moving: Tensor) -> None:
    """Of large frames each takes hundreds of megabytes: there is the one before, to blend with, and no other."""

    class Counting(Bicubic):
        blended = True
        most = 0

        def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
            gc.collect()
            found = {
                thing.data_ptr()
                for thing in gc.get_objects()
                if type(thing) is Tensor and thing.shape[-2:] == SIZE and thing.numel() == 3 * SIZE[0] * SIZE[1]
            }
            self.most = max(self.most, len(found))
            return super().restore(frames, motion, hidden)

    model, settings = Counting(device=torch.device("cpu"), dtype=torch.float32), Settings(grain=0)
    moved, temporal = motion(None, moving, DisFlow()), resolve_temporal(settings, seed=0)
    indices = tuple(range(len(moving)))
    whole = Work(Chunk(moving, indices, indices), moved, ((),) * len(indices))
    budget = MemoryBudget(model, DisFlow(), frames=1)
    work = (whole.part(i, i + 1) for i in indices)
    count = 0
    for result in upscaled(work, budget, fail, None, temporal, RestorationSpec(), SIZE, shot=0):
        count += len(result.pictures)
        del result
    assert (count, model.most) == (len(moving), 1)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("dtype", "hint"), [(torch.float16, "--dtype float32"), (torch.float32, "weights")])
def test_a_number_that_is_not_finite_is_an_error(moving: Tensor, number: float, dtype: torch.dtype, hint: str) -> None:
    class Overflowing(Bicubic):
        def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
            pictures = super().restore(frames, motion, hidden).pictures
            pictures[-1, 1, 5, 7] = number
            return Restored(pictures)

    model = Overflowing(device=torch.device("cpu"), dtype=torch.float32)
    model.dtype = dtype  # as it says of itself
    with pytest.raises(ModelError, match="bicubic gives numbers that are not finite, computing in float") as refusal:
        dossr_video.upscale_frames(moving[:2], model=model)
    assert hint in refusal.value.hint


def test_latents_that_become_no_picture_are_an_error(sampled: DomainShiftModel, moving: Tensor) -> None:
    model = copy(sampled)
    model.decode = lambda latents: sampled.decode(latents) * torch.nan  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="sampled gives numbers that are not finite"):
        run(model, moving[:2], 2, fail, steps=1)


class CrampedFlow:
    """An estimator that has memory for pictures of so many pixels a side."""

    def __init__(self, side: int) -> None:
        self._side = side

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        if max(source.shape[-2:]) > self._side:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return DisFlow()(source, target)


def test_out_of_memory_in_the_optical_flow_goes_on_with_smaller_pictures(moving: Tensor) -> None:
    large = torch.nn.functional.interpolate(moving[:3], (256, 320), mode="bicubic").clamp(0, 1)
    model, settings = load_model("bicubic", device="cpu", dtype="float32"), Settings(deflicker=True)
    warnings: list[str] = []
    budget = MemoryBudget(model, CrampedFlow(100), frames=8)
    chunk = Chunk(large, (0, 1, 2), (0, 1, 2))
    temporal = resolve_temporal(settings, seed=0)
    (work,) = with_motion([(chunk, ((),) * 3, None, None)], budget, warnings.append, temporal, RestorationSpec())
    assert [line.partition(";")[0] for line in warnings] == [
        "memory ran out for the optical flow at frame 0: going on with pictures of 1/2 of the size",
        "memory ran out for the optical flow at frame 0: going on with pictures of 1/4 of the size",
    ]
    assert torch.equal(work.motion.flow, motion(None, large, CoarseFlow(DisFlow(), 4)).flow)
    assert (work.motion.flow - motion(None, large, DisFlow()).flow).abs().median() < 0.5
    enlarged = dossr_video.upscale_frames(large, model=model, flow=CrampedFlow(100), settings=settings)
    assert enlarged.shape == (3, 3, 1024, 1280)


def test_optical_flow_that_never_fits_is_an_error(moving: Tensor) -> None:
    model = load_model("compact", device="cpu", dtype="float32")
    with pytest.raises(ModelError, match="optical flow of not even 64 pixels fits") as refusal:
        dossr_video.upscale_frames(moving, model=model, flow=CrampedFlow(0))
    assert "--flow fast" in refusal.value.hint


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8, 16]))
def test_padding_grows_to_the_multiple_and_cropping_undoes_it(height: int, width: int, multiple: int) -> None:
    image = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    padded = pad(image, multiple)
    assert padded.shape[-2] % multiple == 0 == padded.shape[-1] % multiple
    assert padded.shape[-2] - height < multiple
    assert torch.equal(padded[..., :height, :width], image)
    assert padded.min() >= image.min()
    assert padded.max() <= image.max()


def test_resizing_keeps_a_flat_picture_and_does_not_alias() -> None:
    flat = torch.full((1, 3, 64, 64), 0.25)
    assert torch.allclose(resize(flat, 32, 48), torch.full((1, 3, 32, 48), 0.25), atol=1e-6)
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    assert (resize(stripes, 64, 22) - 0.5).abs()[..., 4:-4].max() < 0.1


def test_state_ends_at_a_cut(moving: Tensor) -> None:
    model = load_model("compact", device="cpu", dtype="float32")
    other = moving.flip(0).roll(17, -1) * 0.3
    both = dossr_video.upscale_frames(torch.cat([moving[:4], other[:4]]), model=model)
    alone = dossr_video.upscale_frames(other[:4], model=model)
    assert (both[4:] - alone).abs().mean() < 0.02


@pytest.mark.parametrize("length", [1, 2, 3])
def test_scenes_too_short_for_shots_show_no_trace_of_others(
    sampled: DomainShiftModel, moving: Tensor, length: int
) -> None:
    dark = moving[:length].flip(-1) * 0.4
    together = torch.cat([1 - moving[-length:], dark])
    for scene in (together, dark):
        scene[..., :8] = 0.05  # something flat that scenes share
    # One at a time: a batched kernel may round differently.
    assert torch.equal(run(sampled, together, 1, fail)[-length:], run(sampled, dark, 1, fail))


@pytest.mark.parametrize(
    ("width", "height", "frames"), [(208, 88, 8), (352, 288, 3), (720, 576, 1), (1920, 1080, 1), (8192, 8192, 1)]
)
def test_large_frames_come_in_short_chunks(width: int, height: int, frames: int) -> None:
    assert chunk_length(width, height, scale=4, device="cuda") == frames
    assert chunk_length(width, height, scale=4, device="cpu") == 1
