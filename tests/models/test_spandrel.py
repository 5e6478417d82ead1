"""Networks of others: five architectures with random weights, as files, through the registry and the pipeline."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

import dossr_video
from dossr_video import Settings
from dossr_video.cli.commands import app
from dossr_video.errors import ModelError, TargetError
from dossr_video.frames import Motion
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.library.batch import Batch
from dossr_video.library.estimate import estimate
from dossr_video.library.files import Library
from dossr_video.models.chain import Chain
from dossr_video.models.dossr.model import DoSSR
from dossr_video.models.registry import load_model
from dossr_video.models.spandrel import _require_pictures, _spandrel
from dossr_video.restoration.spec import resolve_restoration

_spandrel()  # declares what torchvision wants


def _compact() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=8, num_conv=2, upscale=2)


def _clean() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=8, num_conv=2, upscale=1)


def _large() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=8, num_conv=2, upscale=8)


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
    "clean": (_clean, 1),
    "large": (_large, 8),
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


@pytest.mark.parametrize(("name", "size"), [("clean", "208x88"), ("Compact", "416x176"), ("SPAN", "624x264")])
def test_the_result_of_a_file_has_the_scale_of_the_model(sample: Path, tmp_path: Path, name: str, size: str) -> None:
    report = dossr_video.upscale(sample, tmp_path / "out.mp4", model=str(written(tmp_path, name)), duration=0.1)
    assert report.frames == 3
    assert size in report.target.streams[0]
    assert report.proof.passed
    assert report.settings.model.scale == NETWORKS[name][1]


def test_a_wanted_scale_wins(sample: Path, tmp_path: Path) -> None:
    report = dossr_video.upscale(
        sample, tmp_path / "out.mp4", model=str(written(tmp_path, "Compact")), duration=0.1, scale=5
    )
    assert "1040x440" in report.target.streams[0]


def test_frames_in_memory_have_the_scale_of_the_model(tmp_path: Path, moving: Tensor) -> None:
    assert dossr_video.upscale_frames(moving[:1], model=str(written(tmp_path, "clean"))).shape == (1, 3, 32, 40)


@pytest.mark.parametrize(("scale", "native"), [(1, 1.0), (2, 0.5), (4, 0.5)])
def test_a_soft_source_is_never_made_smaller_than_it_is(scale: int, native: float) -> None:
    found = resolve_restoration(Settings(), detail=0.3, grain=None, dust=None, model_scale=scale)
    assert found.native == native


def test_an_estimate_knows_the_scale_of_the_model(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(sample.read_bytes())
    sizes = []
    for name in ("clean", "SPAN"):
        settings = Settings(model=str(written(tmp_path, name)), duration=0.1, device="cpu")
        work = Batch(Library(tmp_path / "in", tmp_path / "out"), settings)
        sizes.append(estimate(work, executor=LocalExecutor(worker_spec(settings))).result_bytes)
    assert sizes[1] > 2 * sizes[0]


def test_a_network_and_its_licence_are_told(sample: Path, tmp_path: Path) -> None:
    weights = {key: value.contiguous() for key, value in _compact().state_dict().items()}
    path = tmp_path / "2x.safetensors"
    save_file(weights, path, metadata={"modelspec.license": "CC-BY-4.0"})
    told = CliRunner().invoke(app, ["probe", str(sample), str(tmp_path / "x.mp4"), "--model", str(path)]).output
    size = f"{path.stat().st_size / 1e6:.2f} MB"
    assert f"RealESRGAN Compact x2, RGB, 2,292 parameters, {size}, licence CC-BY-4.0" in told
    assert "416x176" in told
    torch.save({"params": weights, "license": "MIT"}, tmp_path / "2x.pth")
    report = dossr_video.upscale(sample, tmp_path / "out.mp4", model=str(tmp_path / "2x.pth"), duration=0.1)
    assert "licence MIT" in report.processing[1]
    assert report.settings.model.networks[0].license == "MIT"


def test_networks_in_a_chain_follow_each_other(tmp_path: Path, moving: Tensor) -> None:
    first, second = (str(written(tmp_path, name)) for name in ("clean", "SPAN"))
    frames, none = moving[:2], still(moving[:2])
    chain, one, other = (
        load_model(name, device="cpu", dtype="float32") for name in (f"{first}+{second}", first, second)
    )
    by_hand = other.restore(one.restore(frames, none, None).pictures.clamp(0, 1), none, None).pictures
    assert torch.equal(chain.restore(frames, none, None).pictures, by_hand)
    assert (chain.scale, [info.file for info in chain.network_info]) == (3, ["clean.pth", "SPAN.pth"])
    assert chain.digest not in (one.digest, other.digest)


def test_compact_at_the_end_of_a_chain_remembers_and_follows_the_motion(tmp_path: Path, moving: Tensor) -> None:
    """In two chunks as in one, at an enlarged flow."""
    model = load_model(f"{written(tmp_path, 'Compact')}+compact", device="cpu", dtype="float32", engine="torch")
    frames = moving[:4, :, :16, :16]
    options = {"model": model, "scale": 8, "blend": "off"}
    whole = dossr_video.upscale_frames(frames, chunk=4, **options)
    assert whole.shape == (4, 3, 128, 128)
    assert torch.equal(whole, dossr_video.upscale_frames(frames, chunk=2, **options))
    alone = dossr_video.upscale_frames(frames[3:], **options)
    assert not torch.equal(whole[3:], alone)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("{0}+", "is no name"),
        ("{0}+missing.pth", "there is no model 'missing.pth'"),
        ("compact+{0}", "compact follows the motion and must be the last"),
        ("{1}+{1}", "enlarges x64; at most x16"),
    ],
)
def test_models_that_cannot_follow_each_other(tmp_path: Path, names: str, message: str) -> None:
    paths = [written(tmp_path, name) for name in ("Compact", "large")]
    with pytest.raises(dossr_video.DossrError, match=re.escape(message)):
        load_model(names.format(*paths), device="cpu")


def test_a_model_with_latents_is_no_part_of_a_chain(load: Callable[..., DoSSR], checkpoint: Path) -> None:
    model = load(checkpoint)
    with pytest.raises(ModelError, match="samples latents and cannot be one of several"):
        Chain([model, model])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_runs_in_half_precision_or_says_that_it_does_not(tmp_path: Path, moving: Tensor, name: str) -> None:
    """SwinIR's does not in bfloat16, whatever spandrel says; what it computes in then has all digits of the file."""
    path = str(written(tmp_path, name))
    half, whole = (load_model(path, device="cpu", dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert half.dtype == (torch.float32 if name == "SwinIR" else torch.bfloat16)
    pictures = [model.restore(moving[:1], still(moving[:1]), None).pictures for model in (half, whole)]
    assert (pictures[0] - pictures[1]).abs().mean() <= (0 if name == "SwinIR" else 0.01)


def test_more_memory_than_there_is(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dossr_video.jobs.resolve.available", lambda: 8_000_000)
    path = str(written(tmp_path, "SPAN"))
    with pytest.raises(ModelError, match=r"takes about .* MB of memory for frames of 208x88; 8.0 MB are free") as found:
        dossr_video.upscale(sample, tmp_path / "out.mp4", model=path, duration=0.1)
    assert not (tmp_path / "out.mp4.dossr").exists()
    tile = int(found.value.hint.removeprefix("give --tile "))
    assert dossr_video.upscale(sample, tmp_path / "out.mp4", model=path, duration=0.1, tile=tile).frames == 3


def test_a_target_that_exists_is_refused_before_the_model_is_loaded(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"mine")
    with pytest.raises(TargetError, match="exists"):
        dossr_video.upscale(sample, tmp_path / "out.mp4", model="missing.pth")


@pytest.mark.parametrize(("masked", "message"), [(True, "needs a mask"), (False, "single cropped faces")])
def test_networks_for_other_pictures_are_refused(tmp_path: Path, masked: bool, message: str) -> None:
    spandrel = _spandrel()
    layer = nn.Conv2d(3, 3, 1)
    options = {"tags": [], "supports_half": True, "supports_bfloat16": True, "input_channels": 3, "output_channels": 3}
    made = spandrel.MAIN_REGISTRY["ESRGAN"].architecture
    if masked:
        network = spandrel.MaskedImageModelDescriptor(layer, layer.state_dict(), made, "Inpainting", **options)
    else:
        network = spandrel.ImageModelDescriptor(layer, layer.state_dict(), made, "FaceSR", scale=1, **options)
    with pytest.raises(ModelError, match=f"is ESRGAN, .*{message}"):
        _require_pictures(tmp_path / "x.pth", network, spandrel)


def test_unknown_tensors_are_no_network(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.ones(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth holds no network that spandrel .* knows"):
        load_model(str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda tensor: torch.zeros(0), "does not fit its own architecture: tuple index out of range"),
        (lambda tensor: tensor[..., :1], "does not fit its own architecture: size mismatch for body"),
    ],
)
def test_tensors_of_other_shapes_are_told(tmp_path: Path, changed: Any, message: str) -> None:
    weights = torch.load(written(tmp_path, "Compact"), weights_only=True)["params_ema"]
    for name in list(weights) if not changed(torch.ones(1)).numel() else ["body.2.weight"]:
        weights[name] = changed(weights[name]).clone()
    torch.save(weights, tmp_path / "changed.pth")
    with pytest.raises(ModelError, match=message):
        load_model(str(tmp_path / "changed.pth"), device="cpu")


def test_a_network_for_several_frames_is_told_as_that(tmp_path: Path) -> None:
    """As AnimeSR and BasicVSR name theirs."""
    torch.save({"recurrent_cell.conv_s1_first.0.weight": torch.ones(4, 121, 3, 3)}, tmp_path / "video.pth")
    with pytest.raises(ModelError, match=r"several frames at once \(it has recurrent_cell.conv_s1_first.0.weight\)"):
        load_model(str(tmp_path / "video.pth"))


def test_a_network_of_four_channels_is_refused(tmp_path: Path) -> None:
    from spandrel.architectures.Compact import Compact

    torch.save(Compact(num_in_ch=4, num_out_ch=4, num_feat=8, num_conv=2).state_dict(), tmp_path / "four.pth")
    with pytest.raises(ModelError, match="4 channels in and 4 out"):
        load_model(str(tmp_path / "four.pth"))


def test_a_prompt_has_no_meaning_for_it(tmp_path: Path) -> None:
    with pytest.raises(dossr_video.DossrError, match="takes no text"):
        load_model(str(written(tmp_path, "Compact")), prompt="sharp")
