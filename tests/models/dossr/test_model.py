"""DoSSR as a domain-shift model; that its numbers are the reference's is checked by scripts/parity.py."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dossr_video import upscale_frames
from dossr_video.diffusion.schedule import make_point
from dossr_video.models.base import Condition, Restored
from dossr_video.models.dossr.model import DoSSR

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "data" / "golden"


@pytest.fixture(scope="module")
def parity():
    spec = importlib.util.spec_from_file_location("parity", ROOT / "scripts" / "parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def run_parity(parity, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["parity.py", str(folder)])
    code = parity.main()
    return code, capsys.readouterr().out


def test_every_golden_array_is_met(parity, monkeypatch, capsys):
    code, output = run_parity(parity, GOLDEN, monkeypatch, capsys)
    assert code == 0, output
    assert "not checked" not in output
    recorded = [name for path in (GOLDEN / "tiny").glob("*.npz") for name in np.load(path).files]
    assert output.count(" ok\n") == sum(not parity.GIVEN.fullmatch(name) for name in recorded) > 80


def test_parity_fails_on_a_single_wrong_array(parity, monkeypatch, capsys, tmp_path):
    shutil.copytree(GOLDEN / "tiny", tmp_path / "tiny", ignore=shutil.ignore_patterns("s*.npz", "networks.npz", "e2e*"))
    arrays = dict(np.load(tmp_path / "tiny" / "color.npz"))
    arrays["adain"][0, 0, 5, 5] += 1e-4
    np.savez(tmp_path / "tiny" / "color.npz", **arrays)
    code, output = run_parity(parity, tmp_path, monkeypatch, capsys)
    assert code == 1
    assert "color adain" in output


def test_sizes_follow_from_the_weights(tiny):
    assert (tiny.scale, tiny.latent_stride, tiny.multiple) == (4, 8, 16)
    assert tiny.defaults.steps == 5
    assert len(tiny.digest) == 64


def test_a_batch_gives_what_its_frames_give(tiny, networks, still):
    """Bit for bit, or the result would depend on the chunk length."""
    frames = networks["lq_u8"].permute(0, 3, 1, 2).float() / 255
    pictures = tiny.restore(frames, still, None).pictures.clamp(0, 1)
    latents = tiny.encode(pictures)
    condition = tiny.condition(Restored(pictures), latents)
    x0 = tiny.denoise(latents, 300, condition)
    decoded = tiny.decode(x0)
    for i in range(2):
        one = slice(i, i + 1)
        assert torch.equal(tiny.restore(frames[one], still, None).pictures.clamp(0, 1), pictures[one])
        assert torch.equal(tiny.encode(pictures[one]), latents[one])
        hint = tiny.condition(Restored(pictures[one]), latents[one]).hint
        assert torch.equal(hint, condition.hint[one])
        assert torch.equal(tiny.denoise(latents[one], 300, Condition(hint)), x0[one])
        assert torch.equal(tiny.decode(x0[one]), decoded[one])


@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_frames_at_once_give_what_they_give_one_by_one(load, checkpoint, networks, still, cfg_scale):
    """As on an accelerator."""
    model = load(checkpoint, cfg_scale=cfg_scale)
    frames = networks["lq_u8"].permute(0, 3, 1, 2).float() / 255
    calls = []
    model.networks.unet.register_forward_hook(lambda *call: calls.append(1))

    def passed():
        with torch.inference_mode():
            restored = model.restore(frames, still, None)
            restored.pictures.clamp_(0, 1)
            latents = model.encode(restored.pictures)
            x0 = model.denoise(latents, 300, model.condition(restored, latents))
            return restored.pictures, latents, x0, model.decode(x0)

    one_by_one = passed()
    model.batch = None
    at_once = passed()
    assert len(calls) == 2 + 1
    for ours, expected in zip(at_once, one_by_one, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4 * cfg_scale)
    assert torch.equal(passed()[2], at_once[2])


def test_denoise_inverts_the_forward_process(tiny, networks):
    x, t, hint = networks["unet_x"][:1], int(networks["unet_t"][0]), networks["unet_hint"][:1]
    point = make_point(t)
    x0 = tiny.denoise(x, t, Condition(hint))
    eps = tiny.predict_noise(x, t, hint, tiny.contexts)
    torch.testing.assert_close(point.a * x0 + point.s * eps, x, rtol=0, atol=1e-5)


def test_guidance_extrapolates_from_the_negative_prompt(tiny, load, checkpoint, networks):
    guided = load(checkpoint, cfg_scale=3.0)
    x, condition = networks["unet_x"][:1], Condition(networks["unet_hint"][:1])
    assert (len(tiny.contexts), len(guided.contexts)) == (1, 2)
    # x0 is linear in eps, so guidance on eps is guidance on x0.
    sides = [DoSSR(tiny.networks, side[None], name="", digest="") for side in guided.contexts]
    positive, negative = (side.denoise(x, 250, condition) for side in sides)
    expected = negative + 3.0 * (positive - negative)
    torch.testing.assert_close(guided.denoise(x, 250, condition), expected, rtol=0, atol=1e-3)
    assert (positive - negative).abs().max() > 0.05


def test_latents_move_with_the_flow(tiny):
    latents = torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(2))
    flow = torch.zeros(1, 2, 32, 48)
    flow[:, 0] = 4  # input pixels: two latent cells, for a cell is 8 output pixels and they are 4 to an input pixel
    moved = tiny.warp(latents, flow)
    torch.testing.assert_close(moved[..., :-3], latents[..., 2:-1], rtol=0, atol=1e-4)


def test_half_precision_stays_near(load, checkpoint, tiny, networks):
    half = load(checkpoint, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    pictures = networks["rrdb_out"][:1, :, :64, :64].clamp(0, 1)
    latents = half.encode(pictures)
    assert latents.dtype == torch.float32
    exact = tiny.encode(pictures)
    assert (latents - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_runs_on_the_accelerator(checkpoint, tiny, networks, dtype):
    from dossr_video.models.dossr.model import load_dossr

    model = load_dossr(checkpoint, device=torch.device("cuda"), dtype=dtype, head_channels=8, text_head_channels=8)
    x, hint = networks["unet_x"][:1], networks["unet_hint"][:1]
    ours = model.denoise(x.cuda(), 250, Condition(hint.cuda())).cpu()
    exact = tiny.denoise(x, 250, Condition(hint))
    allowed = {torch.float32: 1e-2, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    assert (ours - exact).abs().mean() < allowed * exact.abs().mean()
    twice = model.denoise(x.cuda().repeat(2, 1, 1, 1), 250, Condition(hint.cuda().repeat(2, 1, 1, 1))).cpu()
    assert model.batch is None
    assert (twice - ours).abs().mean() < allowed * exact.abs().mean()


def test_a_sample_of_the_posterior_takes_one_encoding(tiny, moving):
    calls = []
    hook = tiny.networks.vae.encoder.register_forward_hook(lambda *call: calls.append(1))
    frames = moving[:2, :, :32, :32]
    sampled = upscale_frames(frames, model=tiny, steps=1, posterior="sample")
    hook.remove()
    assert len(calls) == 2  # of two frames
    assert not torch.equal(sampled, upscale_frames(frames, model=tiny, steps=1))
