"""The nodes: load a model, upscale the frames of a video, compare them with their source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import dossr_video
from dossr_video.settings import MODELS

CATEGORY = "image/upscaling"
FOLDER = "upscale_models"  # ComfyUI's, where networks of others lie
KIND = "DOSSR_VIDEO_MODEL"
LINE = 2  # pixels between the halves of a comparison


class LoadVideoModel:
    """A model of dossr-video, or a network from ComfyUI's folder of upscale models."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (KIND,)
    RETURN_NAMES = ("model",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ([*MODELS, *_files()], {"tooltip": "auto: large on an accelerator, compact on a CPU"}),
                "device": (["auto", "cuda", "mps", "xpu", "cpu"],),
                "dtype": (["auto", "float16", "bfloat16", "float32"],),
            },
            "optional": {
                "file": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "path of a model in place of the list; a.pth+b.pth: one after the other",
                    },
                )
            },
        }

    def load(self, model: str, device: str, dtype: str, file: str = "") -> tuple[Any]:
        name = file.strip() or (_path(model) if model in _files() else model)
        with _hints():
            return (dossr_video.load_model(name, device=device, dtype=dtype),)


class UpscaleVideo:
    """The frames of a video restored and enlarged, steady in time; cuts are found."""

    CATEGORY = CATEGORY
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        share = {"min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {
                "images": ("IMAGE",),
                "model": (KIND,),
                "scale": ("INT", {"default": 0, "min": 0, "max": 16, "tooltip": "0: the model's own"}),
                "blend_strength": (
                    "FLOAT",
                    {"default": 0.7, **share, "tooltip": "of the frame before, along the motion; 0: each by itself"},
                ),
                "strength": ("FLOAT", {"default": 1.0, **share, "tooltip": "of what the model invents"}),
                "grain": ("FLOAT", {"default": 0.0, **share, "tooltip": "of the source's grain that is put back"}),
                "dust": (["auto", "off"], {"tooltip": "mend dust and scratches of film where it is dirty"}),
                "native": (["auto", "off"], {"tooltip": "restore soft frames at the size that their detail fills"}),
                "deflicker": ("BOOLEAN", {"default": False, "tooltip": "even out flickering exposure"}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1}),
            }
        }

    def upscale(self, images: Tensor, model: Any, scale: int, grain: float, **options: Any) -> tuple[Tensor]:
        with _hints():
            results = dossr_video.upscale_stream(
                images, layout="HWC", model=model, scale=scale or None, grain=str(grain), **options
            )
            return (torch.stack([result.cpu() for result in _shown(results, len(images))]),)


class CompareVideo:
    """On the left the source, enlarged; on the right its result."""

    CATEGORY = CATEGORY
    FUNCTION = "compare"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "source": ("IMAGE",),
                "result": ("IMAGE",),
                "position": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05}),
            }
        }

    def compare(self, source: Tensor, result: Tensor, position: float) -> tuple[Tensor]:
        if len(source) != len(result):
            raise ValueError(f"{len(source)} frames of the source and {len(result)} of the result: must be as many")
        height, width = result.shape[1:3]
        column = round(position * width)
        large = F.interpolate(source[..., :3].movedim(-1, 1), (height, width), mode="bicubic", antialias=True)
        split = result[..., :3].clone()
        split[:, :, :column] = large.clamp(0, 1).movedim(1, -1)[:, :, :column]
        split[:, :, max(0, column - LINE // 2) : column + LINE // 2] = 1
        return (split,)


NODE_CLASS_MAPPINGS = {
    "DossrLoadVideoModel": LoadVideoModel,
    "DossrUpscaleVideo": UpscaleVideo,
    "DossrCompareVideo": CompareVideo,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "DossrLoadVideoModel": "Load Video Upscale Model (dossr-video)",
    "DossrUpscaleVideo": "Upscale Video (dossr-video)",
    "DossrCompareVideo": "Compare Video (dossr-video)",
}


def _files() -> list[str]:
    """Names in ComfyUI's folder of upscale models; none outside of ComfyUI."""
    try:
        import folder_paths
    except ImportError:
        return []
    return list(folder_paths.get_filename_list(FOLDER))


def _path(name: str) -> str:
    import folder_paths

    return str(folder_paths.get_full_path(FOLDER, name))


def _shown(frames: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The frames, with ComfyUI's progress, until its user cancels."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as check
        from comfy.utils import ProgressBar
    except ImportError:
        yield from frames
        return
    progress = ProgressBar(count)
    for frame in frames:
        yield frame
        progress.update(1)
        check()


@contextmanager
def _hints() -> Iterator[None]:
    """ComfyUI shows the text of an error: with the remedy."""
    try:
        yield
    except dossr_video.DossrError as error:
        raise RuntimeError(f"{error.message} ({error.hint})") from error
