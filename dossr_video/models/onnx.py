"""Networks of others for single pictures from `.onnx` files, run by onnxruntime, as the restorer of the pipeline."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.color import match_mean
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import HiddenState, NetworkInfo, PictureModel, Restored
from dossr_video.models.checkpoint import digest, stated_license
from dossr_video.models.tiled import OVERLAP, by_tiles

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "xpu": "OpenVINOExecutionProvider"}
TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # of which the sides of a picture may have to be
SMALL = 32  # pixels a side of the pictures that are tried
MOST_PIXELS = 4096 * 4096  # of a network whose size is fixed: each tile has so many
LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]{0,2}[\x00-\x7f])")
"""The beginning of a protobuf entry of the key `location`, up to the length of its value."""
LONGEST_NAME = 4096  # bytes
RIGHT = "export it again with one input and one output of (N, 3, H, W) in [0, 1]"


class OnnxModel(PictureModel):
    """A session of onnxruntime as a model; frames go through it one at a time, in tiles where its size is fixed."""

    recurrent = False
    blended = True
    engine = "onnxruntime"

    def __init__(self, session: Any, *, name: str, digest: str, device: torch.device) -> None:
        """Raises ModelError where it does not take a picture and give one."""
        self.name, self.digest, self.device = name, digest, device
        self._session = session
        (given,), (made,) = session.get_inputs(), session.get_outputs()
        self._given, self._made = given.name, made.name
        self.dtype = TYPES[given.type]
        self.channels = given.shape[1] if isinstance(given.shape[1], int) else 3
        height, width = given.shape[2:]
        self._size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.multiple, self.scale = self._try_sizes()

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures = torch.cat([self._enlarge(frame[None]) for frame in frames])
        return Restored(match_mean(pictures, frames))

    def _enlarge(self, frame: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, 3, scale H, scale W) in [0, 1]; a network of one channel takes the colours in turn."""
        if self.channels == 1:
            return torch.cat([self._whole(plane) for plane in torch.split(frame, 1, dim=1)], dim=1)
        return self._whole(frame)

    def _whole(self, picture: Tensor) -> Tensor:
        if self._size is None:
            return self._run(picture)
        height, width = picture.shape[-2:]
        below, right = (max(0, side - own) for side, own in zip(self._size, (height, width), strict=True))
        larger = F.pad(picture, (0, right, 0, below), mode="replicate")
        overlap = min(OVERLAP, *(side // 4 for side in self._size))
        (whole,) = by_tiles(lambda tile: (self._run(tile),), larger, block=1, most=self._size, overlap=overlap)
        return whole[..., : height * self.scale, : width * self.scale]

    def _run(self, picture: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, C, H', W') float32 in [0, 1]. RuntimeError where memory runs out."""
        array = np.ascontiguousarray(picture.to(self.dtype).cpu().numpy())
        try:
            (made,) = self._session.run([self._made], {self._given: array})
        except Exception as error:  # onnxruntime's have no common class but this
            if "alloc" in str(error).lower():
                raise RuntimeError("onnxruntime: not enough memory") from error
            raise
        return torch.from_numpy(made).to(self.device, torch.float32).clamp_(0, 1)

    def _try_sizes(self) -> tuple[int, int]:
        """The multiple that the sides must be of, and the scale, by pictures of several sizes, or of its own."""
        reason = ""
        for multiple in MULTIPLES if self._size is None else (1,):
            size = self._size or (SMALL + multiple, SMALL + 2 * multiple)
            try:
                return multiple, _scale_of(self._run(torch.full((1, self.channels, *size), 0.5)), self.channels, size)
            except Exception as error:
                reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{self.name} runs on no picture that was tried: {reason}", hint=RIGHT)


def load_onnx(path: Path, *, device: torch.device) -> OnnxModel:
    """A network for single pictures from an `.onnx` file, in the number type that it was saved in.

    Raises:
        ModelError: onnxruntime is not installed, or not for that device; the file is damaged; the network does not take
            one picture, in RGB or grey, and give one that is larger by a whole factor.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            ".onnx files need onnxruntime, which is not installed", hint='pip install "dossr-video[models]"'
        ) from error
    provider = PROVIDERS.get(device.type, "")
    if provider not in onnxruntime.get_available_providers():
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} does not run on {device.type} here",
            hint="use --device cpu, or install the package of onnxruntime for that device (onnxruntime-gpu for CUDA)",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # as above
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{path} cannot be opened as ONNX: {reason}", hint="export or fetch it again") from error
    _require_picture(path, session)
    model = OnnxModel(session, name=str(path), digest=_digest(path), device=device)
    model.network_info = (
        NetworkInfo(
            file=path.name,
            architecture="ONNX",
            scale=model.scale,
            channels=model.channels,
            parameters=None,
            size=path.stat().st_size,
            license=stated_license(session.get_modelmeta().custom_metadata_map),
        ),
    )
    return model


def _require_picture(path: Path, session: Any) -> None:
    """ModelError where it does not take one picture, and give one."""
    given, made = session.get_inputs(), session.get_outputs()
    if len(given) != 1 or len(made) != 1:
        raise ModelError(
            f"{path} takes {len(given)} inputs and gives {len(made)} outputs: it must be one picture each", hint=RIGHT
        )
    shape, kind = given[0].shape, given[0].type
    if kind not in TYPES:
        raise ModelError(f"{path} takes {kind}: it must be float or float16", hint=RIGHT)
    fits = len(shape) == 4 and (not isinstance(shape[0], int) or shape[0] == 1)
    if not fits or (isinstance(shape[1], int) and shape[1] not in (1, 3)):
        sizes = ", ".join(str(side) if isinstance(side, int) else "any" for side in shape)
        raise ModelError(f"{path} takes ({sizes}): it must be (1, 3, H, W), or 1 channel", hint=RIGHT)
    height, width = (side if isinstance(side, int) else 1 for side in shape[2:])
    if height * width > MOST_PIXELS:
        raise ModelError(
            f"{path} takes pictures of {width}x{height} alone: more than {MOST_PIXELS} pixels",
            hint="export it again for pictures of any size, or of a smaller one",
        )


def _scale_of(made: Tensor, channels: int, size: tuple[int, int]) -> int:
    """By what whole factor a picture of so many channels is larger than `size`; ValueError where it is none."""
    if made.ndim != 4 or made.shape[:2] != (1, channels):
        raise ValueError(f"it makes {tuple(made.shape)} of {(1, channels, *size)}; the channels must be as many")
    height, width = made.shape[-2:]
    scale = height // size[0]
    if scale < 1 or (height, width) != (scale * size[0], scale * size[1]):
        raise ValueError(f"it makes {width}x{height} of {size[1]}x{size[0]}: no whole factor")
    return scale


def _digest(path: Path) -> str:
    """Of the file, and of those beside it in which its weights are."""
    others = _weights_beside(path)
    if not others:
        return digest(path)
    return hashlib.sha256(" ".join(map(digest, [path, *others])).encode()).hexdigest()


def _weights_beside(path: Path) -> list[Path]:
    """The files that the entries `location` of its tensors' `external_data` name."""
    found = set()
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        for entry in LOCATION.finditer(content):
            length = sum((byte & 127) << 7 * place for place, byte in enumerate(entry[1]))
            name = content[entry.end() : entry.end() + min(length, LONGEST_NAME)]
            with suppress(OSError, ValueError):  # a name that no file has: nothing can be read from it either
                if (beside := path.parent / name.decode()).is_file():
                    found.add(beside)
    return sorted(found)
