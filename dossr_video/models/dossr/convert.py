"""The released checkpoint as a folder in diffusers' layout: smaller, faster to load, without the text tower.

    DIR/dossr.json                      what the folder is
    DIR/model_index.json                the same for diffusers, with DIR/scheduler/scheduler_config.json
    DIR/contexts.safetensors            text contexts of the default and the empty prompt
    DIR/{unet,controlnet,vae,cond_encoder,restorer}/config.json and diffusion_pytorch_model.safetensors
    DIR/text_encoder/                   for other prompts, when asked for

`cond_encoder` is left out where it equals the VAE's encoder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dossr_video.errors import TargetError
from dossr_video.models.dossr.architecture import ConditionEncoder
from dossr_video.models.dossr.networks import CONTEXTS, INDEX, STORED_PROMPTS, ReleasedCheckpoint, weights_name
from dossr_video.models.dossr.scheduler import DossrScheduler
from dossr_video.models.dossr.tower import TextTower
from dossr_video.models.rrdbnet import RRDBNet

PIPELINE = {
    "_class_name": ["dossr_video.diffusers", "DossrPipeline"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "controlnet": ["diffusers", "ControlNetModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["dossr_video.models.dossr.scheduler", "DossrScheduler"],
}


def convert(
    source: Path,
    target: Path,
    *,
    dtype: torch.dtype = torch.float16,
    text_tower: bool = False,
    head_channels: int | None = None,
    text_head_channels: int | None = None,
) -> None:
    """Write the checkpoint `source` as the folder `target`, all of it or nothing.

    Raises ModelError for a checkpoint that does not fit, TargetError for a target that exists or cannot be written.
    """
    _refuse_existing(target)
    checkpoint = ReleasedCheckpoint(source, head_channels=head_channels, text_head_channels=text_head_channels)
    names = ["unet", "controlnet", "vae", "restorer"]
    names += [] if checkpoint.shared_encoder else ["cond_encoder"]
    names += ["text_encoder"] if text_tower else []
    # One network at a time: a whole float32 model does not fit into every machine's memory.
    networks = ((name, checkpoint.network(name, device=torch.device("cpu"), dtype=dtype)) for name in names)
    write_folder(target, networks, checkpoint.contexts(STORED_PROMPTS), shared_encoder=checkpoint.shared_encoder)


def write_folder(
    target: Path, networks: Iterable[tuple[str, nn.Module]], contexts: Tensor, *, shared_encoder: bool
) -> None:
    """Write networks by name, and the contexts (2, 77, D) of STORED_PROMPTS, as the folder `target`, or nothing.

    Raises TargetError for a target that exists or cannot be written.
    """
    _refuse_existing(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename on one file system.
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise TargetError(f"{target.parent} cannot be written: {error}", hint="give a folder of your own") from error
    try:
        for name, network in networks:
            _write_network(network, work / name)
        save_file({"contexts": contexts}, work / CONTEXTS)
        about = {"format": 1, "model": "dossr", "shared_encoder": shared_encoder, "prompts": STORED_PROMPTS}
        (work / INDEX).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        (work / "model_index.json").write_text(json.dumps(PIPELINE, indent=2) + "\n", encoding="utf-8")
        DossrScheduler().save_pretrained(work / "scheduler")
        work.chmod(0o755)
        work.rename(target)
    except OSError as error:
        raise TargetError(
            f"{target} cannot be written: {error}", hint="free some space or give another disk"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise TargetError(f"{target} exists and is not overwritten", hint="give a new folder, or remove this one")


def _write_network(network: Any, folder: Path) -> None:
    """A network as its config.json and its weights, readable by the stock class's `from_pretrained`."""
    folder.mkdir()
    if isinstance(network, TextTower):
        (folder / "config.json").write_text(json.dumps(network.stock_config(), indent=2), encoding="utf-8")
    elif isinstance(network, (ConditionEncoder, RRDBNet)):
        (folder / "config.json").write_text(json.dumps(network.config, indent=2), encoding="utf-8")
    else:
        network.save_config(folder)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(weights, folder / weights_name(folder.name), metadata={"format": "pt"})
