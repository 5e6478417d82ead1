from __future__ import annotations

import subprocess
import sys

import cv2
import pytest
import torch

from dossr_video.errors import ModelError, SettingsError
from dossr_video.frames import Motion
from dossr_video.models.base import DomainShiftModel
from dossr_video.models.registry import auto_model, load_model, resolve_device, resolve_dtype


def test_bicubic_is_opencvs_and_torchs_and_samples_nothing():
    model = load_model("bicubic", device="cpu")
    frames = torch.rand(2, 3, 5, 7)
    restored = model.restore(frames, Motion(torch.zeros(2, 2, 5, 7), torch.zeros(2, 1, 5, 7)), None)
    for ours, frame in zip(restored.pictures, frames, strict=True):
        theirs = cv2.resize(frame.permute(1, 2, 0).numpy(), (28, 20), interpolation=cv2.INTER_CUBIC)
        torch.testing.assert_close(ours.permute(1, 2, 0), torch.from_numpy(theirs), rtol=0, atol=1e-5)
    large = torch.nn.functional.interpolate(frames, scale_factor=4, mode="bicubic")
    torch.testing.assert_close(restored.pictures, large, rtol=0, atol=1e-5)
    assert restored.hidden is None
    assert not isinstance(model, DomainShiftModel)


def test_auto_is_large_where_an_accelerator_makes_it_quick() -> None:
    assert [auto_model(torch.device(kind)) for kind in ("cpu", "cuda", "mps", "xpu")] == ["compact", *["large"] * 3]
    assert load_model("auto", device="cpu").name == "compact"


def test_folders_made_by_convert_are_models(folder):
    model = load_model(str(folder), device="cpu", dtype="float32", cfg_scale=2.0)
    assert model.name == str(folder)
    assert model.dtype == torch.float32


def test_unknown_names_say_what_there_is():
    with pytest.raises(ModelError, match="there is no model 'compakt'") as caught:
        load_model("compakt", device="cpu")
    assert "compact" in caught.value.message
    assert "release page" in caught.value.hint


@pytest.mark.parametrize("options", [{"prompt": "a cat"}, {"negative_prompt": ""}, {"cfg_scale": 2.0}])
def test_prompts_need_a_model_with_text(options):
    with pytest.raises(SettingsError, match="takes no text"):
        load_model("bicubic", device="cpu", **options)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:99", "cuda:99", "meta"])
def test_devices_that_are_not_there(name):
    with pytest.raises(SettingsError, match="device"):
        resolve_device(name)


def test_auto_device_computes():
    torch.ones(2, device=resolve_device("auto")).sum().item()


@pytest.mark.parametrize(
    ("present", "expected"),
    [((2, True, 1), "cuda"), ((0, True, 1), "mps"), ((0, False, 1), "xpu"), ((0, False, 0), "cpu")],
)
def test_auto_device_is_the_first_accelerator_that_is_there(monkeypatch, present, expected):
    cuda, mps, xpu = present
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: xpu)
    assert resolve_device("auto").type == expected


def test_auto_dtype_suits_the_device():
    assert resolve_dtype("auto", torch.device("cuda")) == torch.float16
    assert resolve_dtype("auto", torch.device("mps")) == torch.float32
    assert resolve_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(SettingsError, match="float64"):
        resolve_dtype("float64", torch.device("cpu"))


@pytest.mark.parametrize(
    ("unit", "expected"), [("avx2", torch.float32), ("avx512_bf16", torch.bfloat16), ("amx_bf16", torch.bfloat16)]
)
def test_bfloat16_only_where_the_cpu_has_units_for_it(monkeypatch, unit, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {unit: True}, raising=False)
    assert resolve_dtype("auto", torch.device("cpu")) == expected


def test_the_registry_imports_no_heavy_library():
    code = "import sys, dossr_video.models.registry as r; r.load_model('bicubic'); print('diffusers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
