"""What sampling leaves out of the stock layers: the results stay, the work goes."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch.utils.flop_counter import FlopCounterMode

from dossr_video import upscale_frames
from dossr_video.models.base import Condition


def modules(model):
    return [module for network in (model.networks.unet, model.networks.controlnet, model.networks.vae)
            for module in network.modules()]  # fmt: skip


@contextmanager
def stock(model):
    """The layers as diffusers has them."""
    names = ("forward", "_get_output_for_continuous_inputs")
    taken = [
        (module, name, vars(module).pop(name)) for module in modules(model) for name in names if name in vars(module)
    ]
    try:
        yield
    finally:
        for module, name, value in taken:
            setattr(module, name, value)


@pytest.fixture
def call(tiny, networks):
    """One network call, and one passage through the codec."""

    @torch.inference_mode()
    def call(t=250):
        x, hint = networks["unet_x"][:1], networks["unet_hint"][:1]
        pictures = networks["rrdb_out"][:1].clamp(0, 1)
        latents = tiny.encode(pictures)
        return tiny.denoise(x, t, Condition(hint)), latents, tiny.decode(latents)

    return call


def test_the_results_are_those_of_the_stock_layers(tiny, call):
    with stock(tiny):
        expected = call()
    for ours, theirs in zip(call(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    assert torch.equal(call()[1], expected[1])  # nothing in the encoder is computed otherwise


def test_every_layer_that_can_is_changed(tiny):
    changed = {type(module) for module in modules(tiny) if "forward" in vars(module)}
    assert {torch.nn.Linear, ResnetBlock2D, Upsample2D} < changed
    assert not [m for m in modules(tiny) if isinstance(m, ResnetBlock2D | Upsample2D) and "forward" not in vars(m)]
    narrow = [m for m in modules(tiny) if isinstance(m, Attention) and m.to_q.out_features < 16 * m.heads]
    assert len(narrow) > 10
    assert all("forward" in vars(m) for m in narrow)
    leaving = [m for m in modules(tiny) if isinstance(m, Transformer2DModel)]
    assert leaving
    assert all("_get_output_for_continuous_inputs" in vars(m) for m in leaving)


def test_narrow_heads_are_filled_up_and_give_the_same(tiny, call):
    widths = set()
    attend = torch.nn.functional.scaled_dot_product_attention

    def noted(query, *others, **options):
        widths.add(query.shape[-1])
        return attend(query, *others, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
        call()
        assert 8 not in widths
        with stock(tiny):
            call()
    assert {8, 16} <= widths


def test_doubled_pixels_take_less_work(tiny, call):
    def work():
        with FlopCounterMode(display=False) as counter:
            call()
        return counter.get_total_flops()

    call()
    ours = work()
    with stock(tiny):
        theirs = work()
    assert ours < 0.9 * theirs


@pytest.mark.parametrize(
    ("path", "after_a_change"),
    [
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 1),
        ("time_embedding.linear_1", 3),
        ("mid_block.resnets.0.time_emb_proj", 3),
    ],
)
def test_what_is_the_same_in_all_frames_is_computed_once(tiny, moving, path, after_a_change):
    """Of the context once, of the timesteps once a step; again after training has changed the weights."""
    frames = moving[:2, :, :32, :32]
    layer = tiny.networks.unet.get_submodule(path)
    calls, weight = [], layer.weight

    def count(module, given, output):
        calls.append(1)

    def upscaled():
        calls.clear()
        return upscale_frames(frames, model=tiny, steps=3)

    parts = [layer] if "forward" not in vars(layer) else []
    handles = [part.register_forward_hook(count) for part in parts]
    if not parts:
        kept = layer.forward
        compute = kept._compute
        kept._compute = lambda *given: calls.append(1) or compute(*given)
    try:
        first = upscaled()
        with torch.no_grad():
            weight.mul_(2)  # as training does
        assert not torch.equal(upscaled(), first)
        assert len(calls) == after_a_change
        upscaled()
        assert not calls
    finally:
        with torch.no_grad():
            weight.div_(2)
        for handle in handles:
            handle.remove()
        if not parts:
            kept._compute = compute
    assert torch.equal(upscaled(), first)
