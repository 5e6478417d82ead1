"""Networks of others: five architectures with random weights, as files, through the registry and the pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import dossr_video
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.registry import load_model
from dossr_video.models.spandrel import _spandrel

_spandrel()  # declares what torchvision wants


def _compact() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=8, num_conv=2, upscale=2)


def _grey() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=2, upscale=2)


def _esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(num_filters=8, num_blocks=1, scale=4)


def _span() -> nn.Module:
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=3)


def _swinir() -> nn.Module:
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        img_size=16,
        embed_dim=12,
        depths=[2],
        num_heads=[2],
        window_size=8,
        upscale=2,
        upsampler="pixelshuffledirect",
        resi_connection="1conv",
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Compact": (_compact, 2),
    "grey": (_grey, 2),
    "ESRGAN": (_esrgan, 4),
    "SPAN": (_span, 3),
    "SwinIR": (_swinir, 2),
}


def written(folder: Path, name: str, suffix: str = ".pth") -> Path:
    torch.manual_seed(3)
    path = folder / f"{name}{suffix}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        weights = NETWORKS[name][0]().state_dict()
    if suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in weights.items()}, path)
    else:
        torch.save({"params_ema": weights}, path)
    return path


def still(frames: Tensor) -> Motion:
    count, _, height, width = frames.shape
    return Motion(torch.zeros(count, 2, height, width), torch.zeros(count, 1, height, width))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_enlarges_by_its_own_scale_and_keeps_the_mean_colour(tmp_path, moving, name, suffix) -> None:
    model = load_model(str(written(tmp_path, name, suffix)), device="cpu", dtype="float32")
    frames = moving[:2]
    restored = model.restore(frames, still(frames), None)
    pictures = restored.pictures
    scale = NETWORKS[name][1]
    assert model.scale == scale
    assert restored.hidden is None
    assert pictures.shape == (2, 3, 32 * scale, 40 * scale)
    torch.testing.assert_close(pictures.mean((2, 3)), frames.mean((2, 3)), rtol=0, atol=0.02)
    alone = model.restore(frames[1:], still(frames[1:]), None)
    assert torch.equal(alone.pictures, pictures[1:])


def test_its_frames_are_blended_along_the_motion(tmp_path, moving) -> None:
    path = str(written(tmp_path, "Compact"))
    blended, plain = (
        dossr_video.upscale_frames(
            moving[:4],
            settings=dossr_video.Settings(model=path, blend=blend, scale=2, dtype="float32", device="cpu"),
        )
        for blend in ("pixel", "off")
    )
    assert torch.equal(blended[0], plain[0])
    assert not torch.equal(blended[3], plain[3])


def test_a_file_of_a_run(sample: Path, tmp_path: Path) -> None:
    settings = dossr_video.Settings(model=str(written(tmp_path, "Compact")), scale=2, duration=0.2)
    report = dossr_video.upscale(sample, tmp_path / "out.mp4", settings)
    assert report.frames == 5


def test_unknown_tensors_are_no_network(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.ones(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth holds no network that spandrel .* knows"):
        load_model(str(tmp_path / "other.pth"))


def test_a_network_of_four_channels_is_refused(tmp_path: Path) -> None:
    from spandrel.architectures.Compact import Compact

    torch.save(Compact(num_in_ch=4, num_out_ch=4, num_feat=8, num_conv=2).state_dict(), tmp_path / "four.pth")
    with pytest.raises(ModelError, match="4 channels in and 4 out"):
        load_model(str(tmp_path / "four.pth"))


def test_a_prompt_has_no_meaning_for_it(tmp_path: Path) -> None:
    with pytest.raises(dossr_video.DossrError, match="takes no text"):
        load_model(str(written(tmp_path, "Compact")), prompt="sharp")
