"""DoSSR as a diffusers pipeline, for programs written with diffusers."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from dossr_video.models.torchvision import import_torchvision

import_torchvision()  # first: diffusers imports it, by way of transformers, and fails where its operators do not load

from diffusers import DiffusionPipeline  # noqa: E402
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput  # noqa: E402

from dossr_video.api import upscale_frames  # noqa: E402
from dossr_video.models.dossr.model import DoSSR, load_dossr  # noqa: E402
from dossr_video.models.dossr.scheduler import DossrScheduler  # noqa: E402


class DossrPipeline(DiffusionPipeline):
    """Restores and enlarges pictures, or the frames of a clip, x4.

    Example:
        >>> pipeline = DossrPipeline.from_pretrained("dossr/", torch_dtype=torch.float16)  # doctest: +SKIP
        >>> pictures = pipeline([picture], num_inference_steps=5).images  # doctest: +SKIP
    """

    model: DoSSR  # its `networks` are diffusers' own classes
    scheduler: DossrScheduler

    def __init__(self, model: DoSSR, scheduler: DossrScheduler | None = None) -> None:
        super().__init__()
        self.register_modules(
            model=model,
            scheduler=scheduler or DossrScheduler(order=model.defaults.order, final=model.defaults.final),
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        torch_dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> DossrPipeline:
        """The pipeline of a folder that `dossr-video convert` made, or of a DoSSR checkpoint.

        Args:
            pretrained_model_name_or_path: The folder or file; nothing is fetched from a hub.
            torch_dtype: What the networks compute in.
            device: Where they are.

        Raises:
            errors.ModelError: It holds no DoSSR model.
        """
        path = Path(pretrained_model_name_or_path)
        model = load_dossr(path, device=torch.device(device), dtype=torch_dtype)
        saved = path / "scheduler"
        return cls(model, DossrScheduler.from_pretrained(saved) if saved.is_dir() else None)

    def __call__(
        self,
        image: Any,
        num_inference_steps: int = 5,
        seed: int = 0,
        return_dict: bool = True,
        **options: Any,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Restore and enlarge.

        Args:
            image: What `dossr_video.upscale_frames` takes: a picture, or consecutive frames.
            num_inference_steps: Network calls a picture, 1 to 499.
            seed: Of all noise.
            return_dict: Return an ImagePipelineOutput; False: a tuple of its one field.
            **options: Further options of `dossr_video.upscale_frames`, such as `scale=2`.

        Returns:
            `images`: the same kind as `image`.
        """
        config = self.scheduler.config
        result = upscale_frames(
            image,
            model=self.model,
            steps=num_inference_steps,
            seed=seed,
            order=config.order,
            final=config.final,
            corrected_third_order=config.corrected_third_order,
            **options,
        )
        return ImagePipelineOutput(images=result) if return_dict else (result,)
