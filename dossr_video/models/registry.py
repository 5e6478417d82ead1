"""Models by name or path, and the device and number type that they run on."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fsdecode
from pathlib import Path
from pkgutil import resolve_name

import torch

from dossr_video.errors import SettingsError
from dossr_video.models.base import Engine, Offload, PictureModel
from dossr_video.models.chain import Chain
from dossr_video.models.checkpoint import is_dossr
from dossr_video.models.known import parts_of, require_known
from dossr_video.models.limits import require_scale

# What makes each model of the package, given a device and a dtype; imported when it is asked for.
BUILT_IN = {
    "compact": "dossr_video.models.compact.model:load_compact",
    "large": "dossr_video.models.large.model:load_large",
    "bicubic": "dossr_video.models.bicubic:Bicubic",
}
ONNX = ".onnx"
BY_NCNN = frozenset({"compact", "large"})  # that ncnn runs too
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    name: str | PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
    prompt: str | None = None,
    negative_prompt: str | None = None,
    cfg_scale: float = 1.0,
    offload: Offload = "auto",
) -> PictureModel:
    """A model of the package by its name, or one from a file; `auto` is `large` on an accelerator, `compact` on a CPU.

    A file is DoSSR from its checkpoint or from a folder made by `convert`, or any network for single pictures that
    spandrel knows (Real-ESRGAN, SwinIR, SPAN, DAT, ...) or that is saved as .onnx, which then is the restorer of the
    pipeline. Two that are joined by a plus follow each other: `clean.pth+enlarge.pth`. `engine`: auto, torch or ncnn.

    Prompts, guidance and `offload` are for DoSSR alone: on an accelerator its parts wait in main memory while others
    work, from the beginning ("on") or where they do not fit ("auto"). Raises ModelError for weights that cannot be read
    or do not fit, SettingsError for a device that is not there or a prompt for a model without text.
    """
    if not isinstance(name, (str, PathLike)):
        raise SettingsError(f"model {name!r} is no name and no path", hint="for example compact")
    name = fsdecode(name)
    require_known(name)
    place = resolve_device(device)
    parts = parts_of(name)
    if len(parts) > 1:
        if prompt is not None or negative_prompt is not None or cfg_scale != 1.0:
            raise _no_text(name)
        return Chain([load_model(part, device=device, dtype=dtype, engine=engine) for part in parts])
    if name == "auto":
        name = auto_model(place)
    runner = resolve_engine(engine, name, device=place, dtype=dtype)
    kind = torch.float32 if runner == "ncnn" else resolve_dtype(dtype, place)
    if name not in BUILT_IN:
        path = Path(name)
        if path.suffix.lower() != ONNX and (path.is_dir() or is_dossr(path)):
            from dossr_video.models.dossr.model import load_dossr  # diffusers takes seconds to import

            return load_dossr(
                path,
                device=place,
                dtype=kind,
                prompt=prompt,
                negative_prompt=negative_prompt,
                cfg_scale=cfg_scale,
                offload=offload,
            )
    if prompt is not None or negative_prompt is not None or cfg_scale != 1.0:
        raise _no_text(name)
    if offload == "on":
        raise SettingsError(f"{name} is one part, so there is none to offload", hint="leave --offload away")
    if name not in BUILT_IN:
        return _of_others(Path(name), device=place, dtype=kind)
    options = {"engine": runner} if name in BY_NCNN else {}
    model: PictureModel = resolve_name(BUILT_IN[name])(device=place, dtype=kind, **options)
    return model


def _of_others(path: Path, *, device: torch.device, dtype: torch.dtype) -> PictureModel:
    """A network for single pictures from a file; what runs it is imported when it is asked for."""
    if path.suffix.lower() == ONNX:
        from dossr_video.models.onnx import load_onnx

        model: PictureModel = load_onnx(path, device=device)
    else:
        from dossr_video.models.spandrel import load_network

        model = load_network(path, device=device, dtype=dtype)
    require_scale(str(path), model.scale, hint="give a network that enlarges less")
    return model


def _no_text(name: str) -> SettingsError:
    return SettingsError(
        f"{name} takes no text, so no prompt and no cfg scale",
        hint="leave --prompt, --negative-prompt and --cfg-scale away, or give a DoSSR checkpoint as --model",
    )


def auto_model(device: torch.device) -> str:
    """The model that `auto` stands for: on a CPU large takes twenty to thirty times as long as compact."""
    return "compact" if device.type == "cpu" else "large"


def resolve_device(name: str) -> torch.device:
    """`auto` takes the first of CUDA, MPS, XPU and the CPU that is there. Raises SettingsError."""
    present = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count(),
        "cpu": 1,
    }
    if name == "auto":
        return torch.device(next(kind for kind in present if present[kind]))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device {name!r} is unknown", hint="use auto, cpu, cuda, cuda:N, mps or xpu") from error
    if (device.index or 0) >= present.get(device.type, 0):
        raise SettingsError(f"device {name!r} is not on this machine", hint="use --device auto or --device cpu")
    return device


def resolve_engine(engine: str, name: str, *, device: torch.device, dtype: str) -> Engine:
    """What runs the layers of the model `name`: `auto` is ncnn on a CPU, for the models that it runs.

    Its float32 takes half the time of torch's, and as long as bfloat16 where there are units for that; those of AMX
    are faster than both. Raises SettingsError.
    """
    fits = name in BY_NCNN and device.type == "cpu" and dtype in ("auto", "float32")
    if engine == "ncnn" and not fits:
        raise SettingsError(
            f"ncnn runs {' and '.join(sorted(BY_NCNN))} on a CPU in float32; got {name} on {device} in {dtype}",
            hint="leave --engine away",
        )
    if engine not in ("auto", "torch", "ncnn"):
        raise SettingsError(f"engine {engine!r} is unknown", hint="use auto, torch or ncnn")
    by_ncnn = engine == "ncnn" or (engine == "auto" and fits and not (dtype == "auto" and _has("amx_bf16")))
    return "ncnn" if by_ncnn else "torch"


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` takes what the device computes fast and the networks stand: half precision on CUDA, else mostly float32.

    A CPU without bfloat16 units is several times slower in bfloat16 than in float32. Raises SettingsError.
    """
    if name in DTYPES:
        return DTYPES[name]
    if name != "auto":
        raise SettingsError(f"number type {name!r} is unknown", hint=f"use auto, {', '.join(DTYPES)}")
    if device.type in ("cuda", "xpu"):
        return torch.float16
    if device.type == "cpu" and (_has("avx512_bf16") or _has("amx_bf16")):
        return torch.bfloat16
    return torch.float32


def _has(capability: str) -> bool:
    """Of the CPU, by torch's name of it."""
    # Newer than the oldest torch that serves.
    found: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get(capability))
