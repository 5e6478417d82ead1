"""Training of the full model at small size: from the parts of Stable Diffusion to a folder that loads with --model."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.models.checkpoint import read_weights
from dossr_video.models.dossr.model import DoSSR, load_dossr
from dossr_video.models.registry import load_model
from dossr_video.training.batches import Batches
from dossr_video.training.degradation import read_recipes
from dossr_video.training.dossr import DossrTrainer, domain_shift_loss
from dossr_video.training.footage import Footage

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "data" / "golden" / "tiny" / "tiny.ckpt"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ingredients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What users bring: a Stable Diffusion checkpoint with all that is in one, and Real-ESRGAN's restorer."""
    folder = tmp_path_factory.mktemp("ingredients")
    weights = read_weights(TINY)
    kept = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")
    diffusion = {key: value for key, value in weights.items() if key.startswith(kept)}
    diffusion |= {"model_ema.decay": torch.ones(()), "first_stage_model.loss.logvar": torch.zeros(())}
    restorer = {
        key.removeprefix("preprocess_model."): value.float()
        for key, value in weights.items()
        if key.startswith("preprocess_model.")
    }
    torch.save({"state_dict": diffusion}, folder / "sd.ckpt")
    torch.save({"params_ema": restorer}, folder / "restorer.pth")
    return folder / "sd.ckpt", folder / "restorer.pth"


@pytest.fixture(scope="module")
def init(ingredients: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("init") / "init.ckpt"
    assert run_script("make_init_checkpoint", *ingredients, target, "--head-channels", "8") == 0
    return target


def run_script(name: str, *arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        return int(script(name).main())


def load(path: Path) -> DoSSR:
    return load_dossr(path, device=torch.device("cpu"), dtype=torch.float32, head_channels=8, text_head_channels=8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two smooth colour textures."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    for name in ("one", "two"):
        texture = cv2.GaussianBlur(rng.random((200, 200, 3), np.float32), (0, 0), 3.0)
        texture = 255 * (texture - texture.min()) / (texture.max() - texture.min())
        cv2.imwrite(str(folder / f"{name}.png"), texture)
    return folder


@pytest.fixture
def batches(photos: Path) -> Batches:
    recipes = read_recipes(ROOT / "configs" / "degradation.yaml")
    return Batches(Footage.of(photos, None), recipes, seed=1, frames=1, side=16, window=4, renew=0.0)


def test_training_starts_from_the_pretrained_unet(init: Path) -> None:
    model = load(init)
    generator = torch.Generator().manual_seed(0)
    x, hint = (torch.randn(1, 4, 16, 16, generator=generator) for _ in range(2))
    with_control = model.predict_noise(x, 200, hint, model.contexts)
    assert torch.equal(with_control, model.predict_noise(x, 200, hint, model.contexts, control=0.0))
    assert model.networks.cond_encoder is None
    # Before its last, zero convolutions the branch sees x as the UNet does, and not the hint.
    control, unet = model.networks.controlnet, model.networks.unet
    torch.testing.assert_close(control.conv_in(torch.cat([x, hint], 1)), unet.conv_in(x))


def test_init_refuses_what_does_not_fit(
    ingredients: tuple[Path, Path], init: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sd, restorer = ingredients
    assert run_script("make_init_checkpoint", sd, sd, tmp_path / "out.ckpt", "--head-channels", "8") == 1
    assert "preprocess_model.* lacks conv_first.weight" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert run_script("make_init_checkpoint", sd, restorer, init, "--head-channels", "8") == 1
    assert "exists" in capsys.readouterr().err


def test_loss_falls_and_only_the_trained_parts_move(init: Path, batches: Batches) -> None:
    model = load(init)
    before = {name: value.clone() for name, value in state(model).items()}
    trainer = DossrTrainer(model, batches, seed=2, rate=2e-3)

    def loss() -> float:
        with torch.no_grad():
            return domain_shift_loss(model, batches.at(0, size=4, side=16), torch.Generator().manual_seed(9)).item()

    start = loss()
    for _ in range(20):
        trainer.advance(size=2, side=16)
    assert loss() < 0.85 * start
    trained = ("controlnet.", "unet.up_blocks.", "unet.conv_norm_out.", "unet.conv_out.")
    moved = {name for name, value in state(model).items() if not torch.equal(value, before[name])}
    assert all(name.startswith(trained) for name in moved)
    assert "controlnet.controlnet_mid_block.weight" in moved
    assert not any("controlnet_cond_embedding" in name for name in moved)


def state(model: DoSSR) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": value
        for part, network in vars(model.networks).items()
        if network is not None
        for name, value in network.state_dict().items()
    }


def test_a_resumed_run_is_the_uninterrupted_one(init: Path, batches: Batches, tmp_path: Path) -> None:
    whole = DossrTrainer(load(init), batches, seed=2, rate=1e-3)
    losses = [whole.advance(size=2, side=16) for _ in range(3)]
    first = DossrTrainer(load(init), batches, seed=2, rate=1e-3)
    resumed_losses = [first.advance(size=2, side=16)]
    first.save(tmp_path / "state.pt")
    second = DossrTrainer(load(init), batches, seed=2, rate=1e-3)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed_losses += [second.advance(size=2, side=16) for _ in range(2)]
    assert resumed_losses == losses


def test_the_script_writes_a_model_that_loads(init: Path, photos: Path, tmp_path: Path) -> None:
    sizes = {"steps": 2, "batch": 2, "side": 16, "window": 4, "head-channels": 8}
    options = ["--device", "cpu", *(word for name, size in sizes.items() for word in (f"--{name}", str(size)))]
    assert run_script("train_dossr", tmp_path / "run", "--init", init, "--photos", photos, *options) == 0
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2
    trained = load_model(str(tmp_path / "run" / "model_000002"), device="cpu", dtype="float32")
    before = load(init)
    assert not torch.equal(trained.networks.unet.conv_out.weight, before.networks.unet.conv_out.weight)  # type: ignore[attr-defined]
    assert trained.networks.cond_encoder is None  # type: ignore[attr-defined]
    # Run again: nothing is left to do, and nothing is spoilt.
    assert run_script("train_dossr", tmp_path / "run", "--init", init, "--photos", photos, *options) == 0
