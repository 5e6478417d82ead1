"""The documented API as a caller's program uses it: `make lint` has mypy --strict look at it without our settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dossr_video import (
    DossrError,
    DossrScheduler,
    OnProgress,
    Progress,
    Report,
    Settings,
    errors,
    load_model,
    upscale,
    upscale_frames,
    upscale_stream,
)


def show(event: Progress) -> None:
    print(event.stage, event.done, event.total)


def files() -> None:
    stop, watch = threading.Event(), show
    observer: OnProgress = watch
    report: Report = upscale("a.mp4", Path("b.mp4"), crf=18, on_progress=observer, cancelled=stop.is_set)
    print(report.frames + report.target.size, report.lost)
    upscale("a.mp4", "b.mp4", {"crf": 18, "start": "1:30", "audio": "sound.wav"}, model=Path("x.pth"), dust=0.5)
    upscale("a.mp4", "b.mp4", Settings.of({"crf": 18}))
    upscale("a.mp4", "b.mp4", Settings(crf=18, scale=2, dust=0.5, native=0.5, grain=1.0, fps=25, start=90))


def frames() -> None:
    model = load_model("compact", device="cpu", offload="auto")
    array: npt.NDArray[np.uint8] = upscale_frames(np.zeros((3, 24, 32, 3), np.uint8), model=model)
    tensors: Iterator[torch.Tensor] = upscale_stream(iter([torch.zeros(3, 24, 32)]), model=model, layout="CHW")
    print(array, list(tensors), model.scale, load_model(Path("x.pth")).name)


def scheduler() -> None:
    sampler = DossrScheduler()
    sampler.set_timesteps(5)
    print(sampler.timesteps)


def failures() -> None:
    try:
        upscale_frames([])
    except errors.FramesError as error:
        print(error.message, error.hint, error.exit_code)
    except DossrError:
        pass
