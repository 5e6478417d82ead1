"""Weights from files: .ckpt, .pt and .safetensors, without running code from any of them.

`read_weights` opens a file, `fill` puts its tensors into a module that was built without memory.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.models.limits import require_count, require_limits, require_numbers

Weights = Mapping[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)

WRAPPERS = ("state_dict", "params_ema", "params")  # trainers' checkpoints; BasicSR's restorers
LICENSE_KEYS = ("modelspec.license", "license", "licence")  # the first: https://github.com/Stability-AI/ModelSpec
LONGEST_LICENSE = 80  # characters that are told
NAMED = 3  # keys that an error message names before it only counts


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint file by its name, on the CPU, as stored; trainers' wrappers are taken off.

    Raises ModelError for a file that is missing, damaged, no checkpoint, or holds anything but plain data.
    """
    if not path.is_file():
        raise ModelError(f"{path} is no file with weights", hint=AUTHORS)
    content: Mapping[str, Any] = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    weights = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(f"{path} holds no tensors", hint=NETWORK)
    require_limits(path, weights)
    return weights


def is_dossr(path: Path) -> bool:
    """Whether a file holds the networks of DoSSR, by the names of its tensors. Raises ModelError as `read_weights`."""
    if _is_safetensors(path):
        try:
            with safe_open(path, framework="pt") as file:  # names alone: the file may be large
                names = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged or no safetensors file: {_line(error)}", hint=REFETCH) from error
    else:
        names = list(read_weights(path))
    return any(name.removeprefix("module.").startswith("model.diffusion_model.") for name in names)


def read_license(path: Path) -> str | None:
    """The licence that a file states: in the metadata of safetensors, or as `license` beside the tensors."""
    if _is_safetensors(path):
        with safe_open(path, framework="pt") as file:
            content: Mapping[str, Any] = file.metadata() or {}
    else:
        content = _read_torch(path)
    return stated_license(content)


def stated_license(metadata: Mapping[str, Any]) -> str | None:
    """The licence that metadata state."""
    stated = (metadata.get(key) for key in LICENSE_KEYS)
    return next((text.strip()[:LONGEST_LICENSE] for text in stated if isinstance(text, str) and text.strip()), None)


AUTHORS = (
    "fetch the weights from the release page of the authors' GitHub project DoSSR (paper: arXiv 2409.17778), "
    "save them as dossr_default.ckpt and give that path as --model"
)


NETWORK = "give a DoSSR checkpoint, or another super-resolution network: .pth, .safetensors or .onnx"


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or no safetensors file: {_line(error)}", hint=REFETCH) from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    if start not in (b"PK", b"\x80\x02"):
        if path.suffix == ".param" or (path.suffix == ".bin" and path.with_suffix(".param").is_file()):
            raise ModelError(
                f"{path} is a network in ncnn's format",
                hint=f"write it as one of PyTorch: python scripts/convert_ncnn.py {path.with_suffix('.param')} "
                f"{path.with_suffix('.safetensors').name}",
            )
        raise ModelError(f"{path} is neither a PyTorch checkpoint nor named .safetensors", hint=NETWORK)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # PyTorch packs nothing: what unpacks to more is made to fill the memory
            unpacked = sum(entry.file_size for entry in archive.infolist())
            tensors = sum("/data/" in entry.filename for entry in archive.infolist())
        require_count(path, tensors)
        if unpacked > 2 * path.stat().st_size:
            raise ModelError(
                f"{path} unpacks to {unpacked / 1e6:.0f} MB, more than twice its size; no checkpoint does",
                hint=REFETCH,
            )
    try:
        # mmap: tensors are read from the disk when they are used, so a float32 file needs no second copy in memory.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than weights (code could run from it), so it is not opened",
            hint="save its state_dict alone, as .safetensors or with torch.save, and give that file",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or cut off: {_line(error)}", hint=REFETCH) from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} holds a {type(content).__name__}, not weights by name", hint=NETWORK)
    return content


REFETCH = "compare its size with the original and copy or download it again"


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__


def fill(
    module: Module,
    weights: Weights,
    *,
    source: str,
    device: torch.device,
    dtype: torch.dtype,
    names: Callable[[str], str] = str,
) -> Module:
    """`module`, built on the meta device, with its parameters from `weights`, cast, frozen, in evaluation mode.

    `names` turns the module's name of a tensor into the file's. The two must fit exactly: ModelError names the first
    tensors that are missing, of another shape, or without a place in the module; `source` says where they came from.
    """
    declared = {key: names(key) for key in module.state_dict()}
    shapes = {declared[key]: tuple(value.shape) for key, value in module.state_dict().items()}
    misfits = {
        "lacks": [name for name in shapes if name not in weights],
        "has the wrong shape for": [
            f"{name} {tuple(weights[name].shape)} instead of {shape}"
            for name, shape in shapes.items()
            if name in weights and tuple(weights[name].shape) != shape
        ],
        "has no place for": [name for name in weights if name not in shapes],
    }
    for problem, found in misfits.items():
        if found:
            raise ModelError(f"{source} {problem} {name_some(found)}", hint=AUTHORS)
    for key, value in module.state_dict().items():
        name = declared[key]
        if value.is_floating_point() and not weights[name].is_floating_point():
            raise ModelError(f"{source} holds {name} as {weights[name].dtype}, not as floats", hint=AUTHORS)
    require_numbers(source, {name: weights[name] for name in shapes})
    cast = {key: weights[name].to(device=device, dtype=dtype) for key, name in declared.items()}
    module.load_state_dict(cast, assign=True)
    return module.requires_grad_(False).eval()


def name_some(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {_line(error)}", hint="convert the checkpoint again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} must hold an object", hint="convert the checkpoint again")
    return content


def digest(path: Path) -> str:
    """sha256 of a file, or of all files of a folder with their names, as hex."""
    result = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            if file != path:
                result.update(file.relative_to(path).as_posix().encode() + b"\0")
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    result.update(block)
    return result.hexdigest()
