"""The released checkpoint as a folder in diffusers' layout: smaller, faster to load, without the text tower.

    DIR/dossr.json                      what the folder is
    DIR/contexts.safetensors            text contexts of the default and the empty prompt
    DIR/{unet,controlnet,vae,cond_encoder,restorer}/config.json and diffusion_pytorch_model.safetensors
    DIR/text_encoder/                   for other prompts, when asked for

`cond_encoder` is left out where it equals the VAE's encoder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from dossr_video.errors import ModelError, TargetError
from dossr_video.models.architecture import HEAD_CHANNELS
from dossr_video.models.networks import CONTEXTS, INDEX, STORED_PROMPTS, ReleasedCheckpoint, write_network


def convert(
    source: Path,
    target: Path,
    *,
    dtype: torch.dtype = torch.float16,
    text_tower: bool = False,
    head_channels: int = HEAD_CHANNELS,
    text_head_channels: int = HEAD_CHANNELS,
) -> None:
    """Write the checkpoint `source` as the folder `target`, all of it or nothing.

    Raises ModelError for a checkpoint that does not fit, TargetError for a target that exists or cannot be written.
    """
    if target.exists():
        raise TargetError(f"{target} exists and is not overwritten", hint="give a new folder, or remove this one")
    if not source.is_file():
        raise ModelError(f"{source} is no file with weights", hint="give the checkpoint file that is to be converted")
    checkpoint = ReleasedCheckpoint(source, head_channels=head_channels, text_head_channels=text_head_channels)
    names = ["unet", "controlnet", "vae", "restorer"]
    names += [] if checkpoint.shared_encoder else ["cond_encoder"]
    names += ["text_encoder"] if text_tower else []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename on one file system.
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise TargetError(f"{target.parent} cannot be written: {error}", hint="give a folder of your own") from error
    try:
        for name in names:
            # One network at a time: a whole float32 model does not fit into every machine's memory.
            write_network(checkpoint.network(name, device=torch.device("cpu"), dtype=dtype), work / name)
        save_file({"contexts": checkpoint.contexts(STORED_PROMPTS)}, work / CONTEXTS)
        about = {"format": 1, "model": "dossr", "shared_encoder": checkpoint.shared_encoder, "prompts": STORED_PROMPTS}
        (work / INDEX).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        work.chmod(0o755)
        work.rename(target)
    except OSError as error:
        raise TargetError(
            f"{target} cannot be written: {error}", hint="free some space or give another disk"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
