"""The nodes of ComfyUI, called as it calls them: by their mappings, with batches (N, H, W, 3) in [0, 1]."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dossr_video
from dossr_video.models.spandrel import _spandrel

FOLDER = Path(__file__).parents[1] / "integrations" / "comfyui"


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """Loaded from its folder, as a package of any name."""
    spec = importlib.util.spec_from_file_location("a_custom_node", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["a_custom_node"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def images(moving: Tensor) -> Tensor:
    return moving[:4].movedim(1, -1).contiguous()


def called(package: ModuleType, name: str, **given: Any) -> Any:
    """The first result of a node; inputs that are not given have their defaults."""
    node = package.NODE_CLASS_MAPPINGS[name]
    values = {}
    for inputs in node.INPUT_TYPES().values():
        for key, (kind, *more) in inputs.items():
            default = kind[0] if isinstance(kind, list) else more[0].get("default") if more else None
            values[key] = given.pop(key, default)
    assert not given
    result = getattr(node(), node.FUNCTION)(**values)
    assert len(result) == len(node.RETURN_TYPES)
    return result[0]


def test_every_node_has_what_comfyui_asks_for(package: ModuleType) -> None:
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in package.NODE_CLASS_MAPPINGS.values():
        takes = inspect.signature(getattr(node(), node.FUNCTION)).parameters
        required = {name for name, it in takes.items() if it.default is it.empty and it.kind is not it.VAR_KEYWORD}
        assert required <= set(node.INPUT_TYPES()["required"])
        assert node.CATEGORY
        assert node.RETURN_TYPES


def test_a_batch_becomes_what_the_package_makes_of_it(package: ModuleType, images: Tensor) -> None:
    model = called(package, "DossrLoadVideoModel", model="compact", device="cpu", dtype="float32")
    large = called(package, "DossrUpscaleVideo", images=images, model=model)
    assert large.shape == (4, 128, 160, 3)
    assert large.dtype == torch.float32
    assert 0 <= large.min() <= large.max() <= 1
    assert torch.equal(large, dossr_video.upscale_frames(images, model=model))
    small = called(package, "DossrUpscaleVideo", images=images, model=model, scale=2, blend_strength=0.0)
    assert small.shape == (4, 64, 80, 3)


def test_a_comparison_shows_the_source_beside_the_result(package: ModuleType, images: Tensor) -> None:
    result = torch.zeros(4, 64, 80, 3)
    split = called(package, "DossrCompareVideo", source=images, result=result)
    assert split.shape == result.shape
    assert torch.equal(split[:, :, 41:], result[:, :, 41:])
    assert float(split[:, :, :39].mean()) == pytest.approx(float(images[:, :, :19].mean()), abs=0.03)
    with pytest.raises(ValueError, match="must be as many"):
        called(package, "DossrCompareVideo", source=images[:2], result=result)


def test_models_in_the_folder_of_comfyui_are_offered(
    package: ModuleType, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spandrel()  # declares what torchvision wants
    from spandrel.architectures.Compact import Compact

    network: nn.Module = Compact(num_feat=8, num_conv=2, upscale=2)
    torch.save(network.state_dict(), tmp_path / "2x.pth")
    comfyui = ModuleType("folder_paths")
    comfyui.get_filename_list = lambda folder: ["2x.pth"]  # type: ignore[attr-defined]
    comfyui.get_full_path = lambda folder, name: str(tmp_path / name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "folder_paths", comfyui)
    assert "2x.pth" in package.NODE_CLASS_MAPPINGS["DossrLoadVideoModel"].INPUT_TYPES()["required"]["model"][0]
    model = called(package, "DossrLoadVideoModel", model="2x.pth", device="cpu", dtype="float32")
    assert called(package, "DossrUpscaleVideo", images=images[:1], model=model).shape == (1, 64, 80, 3)


def test_an_error_has_its_remedy(package: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"there is no model 'x\.pth'.*\(use --model compact"):
        called(package, "DossrLoadVideoModel", file="x.pth")


def test_a_file_that_is_in_no_folder_of_comfyui_is_told(package: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"there is no model 'gone\.pth'"):
        called(package, "DossrLoadVideoModel", model="gone.pth", device="cpu")
