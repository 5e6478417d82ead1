"""The diffusers pipeline of a converted folder against the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.diffusers import DossrPipeline
from dossr_video.errors import ModelError
from dossr_video.models.dossr.model import DoSSR
from dossr_video.models.dossr.scheduler import DossrScheduler


def test_a_converted_folder_opens_as_a_pipeline_and_gives_the_same_pictures(
    folder: Path, load: Callable[..., DoSSR], moving: Tensor
) -> None:
    pipeline = DossrPipeline.from_pretrained(folder)
    frame = moving[:1, :, :32, :32]
    images = pipeline(frame, num_inference_steps=2, seed=3).images
    expected = upscale_frames(frame, model=load(folder), steps=2, seed=3)
    assert torch.equal(images, expected)
    assert torch.equal(pipeline(frame, num_inference_steps=2, seed=3, return_dict=False)[0], expected)
    assert pipeline.scheduler.config.order == 3


def test_its_scheduler_decides_how_it_samples(folder: Path, moving: Tensor) -> None:
    frame = moving[:1, :, :32, :32]
    pipeline = DossrPipeline.from_pretrained(folder)
    third = pipeline(frame, num_inference_steps=4).images
    pipeline.scheduler = DossrScheduler(order=1)
    assert not torch.equal(pipeline(frame, num_inference_steps=4).images, third)


def test_the_index_names_what_diffusers_reads(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("unet", "controlnet", "vae", "scheduler"):
        assert (folder / name).is_dir()
        assert len(index[name]) == 2
    assert DossrScheduler.from_pretrained(folder, subfolder="scheduler").config.order == 3


def test_a_folder_that_is_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        DossrPipeline.from_pretrained(tmp_path)
