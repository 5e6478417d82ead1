"""The parts of DoSSR that do not work wait in main memory: the same results, with one part on the device."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy

import pytest
import torch

from dossr_video.errors import ModelError, SettingsError
from dossr_video.frames import Chunk, Motion
from dossr_video.models.base import Condition
from dossr_video.models.dossr import model as loading
from dossr_video.models.footprint import REST, Footprint, Part
from dossr_video.models.registry import load_model
from dossr_video.models.tiled import in_tiles
from dossr_video.pipeline.memory import OFFLOADED, MemoryBudget, Tiles, tiles_that_fit
from dossr_video.temporal.flow import DisFlow

GB = 10**9


@pytest.fixture
def offloaded(load, checkpoint):
    """With a copy of a part in place of its weights while it works, as on an accelerator."""
    model = load(checkpoint)
    model._parts.move()
    return model


@torch.inference_mode()
def passed(model, frames, still):
    restored = model.restore(frames, still, None)
    restored.pictures.clamp_(0, 1)
    latents = model.encode(restored.pictures)
    condition = model.condition(restored, latents)
    x0 = model.denoise(latents, 300, Condition(condition.hint))
    return restored.pictures, latents, condition.hint, x0, model.decode(x0)


@contextmanager
def watched(model):
    """Notes which parts are on the device whenever a layer with weights works, and which part that layer is of."""
    seen, hooks, parts = set(), [], model._parts
    homes = {name: {numbers.data_ptr() for _, numbers in pairs} for name, pairs in parts._waiting.items()}

    def note(name):
        def hook(layer, inputs):
            here = [other for other in homes if all(t.data_ptr() not in homes[other] for t in parts._tensors(other))]
            seen.add((name, *here))

        return hook

    for name, modules in parts.modules.items():
        for module in modules:
            for layer in module.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    hooks.append(layer.register_forward_pre_hook(note(name)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def test_the_results_stay_and_only_the_part_that_works_is_on_the_device(offloaded, tiny, networks, still):
    frames = networks["lq_u8"].permute(0, 3, 1, 2).float() / 255
    expected = passed(tiny, frames, still)
    for _ in range(2):  # the second time every part comes back
        with watched(offloaded) as seen:
            found = passed(offloaded, frames, still)
        assert seen == {(name, name) for name in ("restorer", "codec", "denoiser")}
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)
    assert offloaded._parts.on_device == offloaded._parts.weights("codec") < offloaded.footprint.weights


def test_what_layers_keep_from_call_to_call_survives(offloaded, networks, still):
    frames = networks["lq_u8"].permute(0, 3, 1, 2).float() / 255
    passed(offloaded, frames, still)
    calls = []
    offloaded.networks.unet.time_embedding.linear_1.register_forward_hook(lambda *call: calls.append(1))
    passed(offloaded, frames, still)
    assert calls == []


def test_the_footprint_is_that_of_the_networks(tiny):
    found = tiny.footprint
    modules = tiny.networks.unet, tiny.networks.controlnet
    assert found.denoiser.weights == sum(p.nbytes for module in modules for p in module.parameters())
    assert found.picture_bytes == 3 * 4 * 16
    assert found.codec.pixel_bytes > 16 * 32 * 4  # at least one layer of 32 channels at full size
    half = copy(tiny)
    vars(half).pop("footprint")
    half.dtype = torch.float16
    assert half.footprint.denoiser.weights * 2 == found.denoiser.weights


FULL = Footprint(Part(0, 5_000), Part(GB // 5, 25_000), Part(5 * GB // 2, 5_500), kept=GB // 10, picture_bytes=192)


def test_arithmetic_moves_parts_before_it_cuts_and_cuts_the_codec_first():
    frame = 480 * 272
    assert FULL.needed(frame, offload=False) - FULL.needed(frame, offload=True) == pytest.approx(2.5 * GB, rel=0.01)
    size = {"width": 960, "height": 544, "offload": True}
    assert tiles_that_fit(FULL, 24 * GB, **size) == Tiles()
    assert tiles_that_fit(FULL, 8 * GB, **size) == Tiles(codec_tile=448)
    assert tiles_that_fit(FULL, 5 * GB, **size) == Tiles(tile=320)
    assert tiles_that_fit(FULL, 3 * GB, **size) is None
    for tiles in (Tiles(codec_tile=448), Tiles(tile=320)):
        cuts = {name: side and side**2 for name, side in vars(tiles).items()}
        room = 8 * GB if tiles.tile is None else 5 * GB
        assert FULL.needed(960 * 544, offload=True, **cuts) + REST <= room


class Card:
    """A model on an accelerator with so many bytes, of which nothing is but its arithmetic."""

    multiple = 16
    footprint = FULL

    def __init__(self, room):
        self._room, self.moved = room, False

    def free_bytes(self):
        return self._room

    def offload(self):
        now, self.moved = not self.moved, True
        return now


@pytest.mark.parametrize(
    ("room", "frames", "moved"), [(24, 8, False), (7.5, 2, False), (4.5, 1, True), (2, 8, True), (None, 8, False)]
)
def test_before_the_first_frame_as_much_is_done_at_once_as_fits(room, frames, moved):
    card = Card(room and round(room * GB))
    budget = MemoryBudget(card, DisFlow(), frames=8)
    chunk = Chunk(torch.zeros(1, 3, 200, 320), (0,), (0,))  # a short one, which tells the size alone
    assert budget.prepare(chunk) == (OFFLOADED if moved else None)
    assert budget.prepare(chunk) is None
    assert (budget.frames, card.moved) == (frames, moved)


def test_the_codec_alone_goes_by_tiles(tiny):
    """Then the restorer and the denoiser see whole frames."""
    generator = torch.Generator().manual_seed(3)
    frame, pictures = torch.rand(1, 3, 64, 32, generator=generator), torch.rand(1, 3, 256, 128, generator=generator)
    latents, still = (
        torch.randn(1, 4, 32, 16, generator=generator),
        Motion(torch.zeros(1, 2, 64, 32), torch.zeros(1, 1, 64, 32)),
    )
    model, cut = in_tiles(tiny, None, 32), in_tiles(tiny, 32)
    with torch.inference_mode():
        assert torch.equal(model.restore(frame, still, None).pictures, tiny.restore(frame, still, None).pictures)
        condition = Condition(latents)
        assert torch.equal(model.denoise(latents, 300, condition), tiny.denoise(latents, 300, condition))
        assert torch.equal(model.encode(pictures), cut.encode(pictures))
        decoded = model.decode(latents)
        assert torch.equal(decoded, cut.decode(latents))
        assert not torch.equal(decoded, tiny.decode(latents))


def test_tiles_count_for_all_frames_at_once():
    card = Card(4 * GB)
    budget = MemoryBudget(card, DisFlow(), frames=8)
    budget.tiles = Tiles(tile=64)
    budget.prepare(Chunk(torch.zeros(1, 3, 200, 320), (0,), (0,)))
    assert (budget.frames, card.moved) == (1, False)  # 0.1 GB a frame beside weights of 2.8 and a rest of 1


def test_memory_that_runs_out_all_the_same_moves_parts_then_cuts_the_codec_then_all():
    card = Card(None)
    budget = MemoryBudget(card, DisFlow(), frames=1)
    budget._cut = lambda tiles: setattr(budget, "tiles", tiles)
    chunk = Chunk(torch.zeros(1, 3, 128, 256), (5,), (5,))
    assert budget.shrink(chunk) == f"memory ran out at frame 5: {OFFLOADED}"
    told = [budget.shrink(chunk) for _ in range(4)]
    assert "pictures to latents and back in tiles of 128 pixels" in told[0]
    assert "--tile" not in told[0]
    assert "in tiles of 128 pixels; with --tile 128" in told[2]
    assert budget.tiles == Tiles(64)
    with pytest.raises(ModelError, match="not even a tile of 64 pixels"):
        budget.shrink(chunk)


def test_weights_that_do_not_fit_wait_in_main_memory_from_the_beginning(checkpoint, monkeypatch):
    """The meta device stands for an accelerator without a byte left."""

    def full(source, *, device, dtype):
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return load_networks(source, device=device, dtype=dtype)

    load_networks = loading.load_networks
    monkeypatch.setattr(loading, "load_networks", full)
    options = {"device": torch.device("meta"), "dtype": torch.float32, "head_channels": 8, "text_head_channels": 8}
    model = loading.load_dossr(checkpoint, **options)
    assert model.device.type == "meta"
    assert model._parts.moved
    assert model._parts.on_device == 0
    with pytest.raises(ModelError, match="does not fit into the memory of meta") as refusal:
        loading.load_dossr(checkpoint, **options, offload="off")
    assert "--offload off" in refusal.value.hint


def test_offload_where_there_is_nothing_to_move_is_an_error(checkpoint):
    with pytest.raises(SettingsError, match="compact is one part"):
        load_model("compact", device="cpu", offload="on")
    with pytest.raises(SettingsError, match="all parts of a model are in main memory"):
        load_model(checkpoint, device="cpu", offload="on")


@pytest.mark.gpu
def test_offload_on_the_accelerator(checkpoint, networks, still):
    heads, device = {"head_channels": 8, "text_head_channels": 8}, torch.device("cuda")
    frames = (networks["lq_u8"].permute(0, 3, 1, 2).float() / 255).to(device)
    found = []
    for offload in ("off", "on"):
        model = loading.load_dossr(checkpoint, device=device, dtype=torch.float16, offload=offload, **heads)
        found.append(passed(model, frames, still))
    assert not model.networks.unet.conv_in.weight.is_cuda
    assert model.networks.unet.conv_in.weight.is_pinned()
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
