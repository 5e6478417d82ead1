"""A traced torch module in ncnn's words: every layer with the weights that the module has.

A network of other sizes, or with more layers of the same kinds, needs nothing here. The formats:
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure and its operators.md.
"""

from __future__ import annotations

import math
import operator
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dossr_video.errors import ModelError


class Graph:
    """The layers of a traced method in ncnn's words; `weights` in the order of the layers.

    As a stream the layers get a picture strip by strip: each convolution has an input more, in `carried`, for the last
    rows of the strip before, and an output more, in `left`, for those that it leaves to the next. Its results are rows
    late by as much as it sees around a pixel, but for the `last` strip, under which zeros are seen.
    """

    def __init__(self, module: nn.Module, method: str, *, stream: bool = False, last: bool = True) -> None:
        """Raises ModelError for a layer that is not known here, or cannot be in a stream."""
        self._stream, self._last = stream, last
        self.carried: dict[str, tuple[int, int]] = {}  # of its inputs: channels, and rows above the picture
        self.left: list[str] = []  # in the order of `carried`
        tracer = fx.Tracer()
        tracer.traced_func_name = method
        self._module = module
        self._lines: list[str] = []
        self._blobs = 0
        self._free: dict[fx.Node, list[str]] = {}  # names under which a node's output is still to be used
        self.weights: list[bytes] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.channels: dict[str, int] = {}  # of the inputs
        self.reach = 0  # pixels of the inputs that an output depends on, on each side
        self._reaches: dict[fx.Node, float] = {}
        self._scales: dict[fx.Node, float] = {}  # pixels for one of the inputs
        graph = tracer.trace(module)
        self._uses = Counter(node for user in graph.nodes for node in _inputs_of(user))
        for node in graph.nodes:
            self._add(node)

    def text(self) -> str:
        """The `.param` file."""
        return "\n".join(["7767517", f"{len(self._lines)} {self._blobs}", *self._lines, ""])

    def _add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._layer("Input", node, [])
            self.inputs.append(node.name)
        elif node.op == "output":
            self.reach = math.ceil(max(self._reaches[result] for result in _inputs_of(node)))
            self.outputs = [self._take(result) for result in _inputs_of(node)]
        elif node.op == "call_module":
            layer = self._module.get_submodule(str(node.target))
            if isinstance(layer, nn.Conv2d):
                self._convolution(node, layer)
            elif isinstance(layer, nn.PReLU):
                self.weights.append(_bytes(layer.weight))
                self._layer("PReLU", node, node.all_input_nodes, {0: layer.num_parameters})
            else:
                raise _unknown(layer)
        else:
            self._function(node)

    def _convolution(self, node: fx.Node, layer: nn.Conv2d) -> None:
        side = layer.kernel_size[0]
        plain = (layer.stride, layer.dilation, layer.groups, layer.padding_mode) == ((1, 1), (1, 1), 1, "zeros")
        if not plain or layer.kernel_size != (side, side) or layer.padding != (side // 2, side // 2):
            raise _unknown(layer)
        self.weights += [struct.pack("<I", 0), _bytes(layer.weight)]  # 0: stored as float32
        if layer.bias is not None:
            self.weights.append(_bytes(layer.bias))
        options = {1: side, 4: side // 2, 5: int(layer.bias is not None), 6: layer.weight.numel()}
        (source,) = node.all_input_nodes
        if self._stream and side > 1:
            options |= {14: 0, 15: side // 2, 16: side // 2 if self._last else 0}
            self._free[source].append(self._below_earlier_rows(node.name, source, layer))
        self._layer("Convolution", node, [source], {0: layer.out_channels, **options})
        self._reaches[node] += side // 2 / self._scales[node]
        if source.op == "placeholder":
            self.channels[source.name] = layer.in_channels

    def _below_earlier_rows(self, name: str, source: fx.Node, layer: nn.Conv2d) -> str:
        """The blob of what a convolution sees: its strip below the last rows of the one before."""
        rows = layer.kernel_size[0] - 1
        above, both, seen, kept, left = (f"{name}:{part}" for part in ("above", "both", "seen", "kept", "left"))
        self._line(["Input", above, 0, 1, above])
        self._line(["Concat", both, 2, 1, above, self._take(source), both, "0=1"])
        self.carried[above] = layer.in_channels, rows // 2
        if self._last:  # leaves nothing, and what nobody asks for would be held to the end
            return both
        self._line(["Split", f"{both}:split", 1, 2, both, seen, kept])
        self._line(["Crop", left, 1, 1, kept, left, f"-23309=1,-{rows}", "-23310=1,-233", "-23311=1,1"])
        self.left.append(left)
        return seen

    def _function(self, node: fx.Node) -> None:
        target, options = node.target, node.kwargs
        inputs = _inputs_of(node)
        if target in (operator.add, operator.iadd, torch.add, "add", "add_") and len(inputs) == 2:
            share = float(options.get("alpha", 1))  # type: ignore[arg-type]
            settings = {0: 1, -23301: f"2,1.0,{share}"} if share != 1 else {0: 0}
            self._layer("BinaryOp" if share == 1 else "Eltwise", node, inputs, settings)
        elif target is operator.mul and len(inputs) == 2:
            self._layer("BinaryOp", node, inputs, {0: 2})
        elif target is F.leaky_relu:
            self._layer("ReLU", node, inputs, {0: options["negative_slope"]})
        elif target is F.silu:
            self._layer("Swish", node, inputs)
        elif target is torch.cat:
            self._layer("Concat", node, inputs, {0: 0})
        elif target is F.pixel_shuffle:
            factor = int(node.args[1])  # type: ignore[arg-type]
            self._layer("PixelShuffle", node, inputs, {0: factor})
            self._scales[node] *= factor
        elif target is F.interpolate and options["mode"] == "nearest":
            factor = int(options["scale_factor"])  # type: ignore[arg-type]
            self._layer("Interp", node, inputs, {0: 1, 1: f"{factor}.0", 2: f"{factor}.0"})
            self._scales[node] *= factor
        else:
            raise _unknown(target)

    def _layer(
        self, kind: str, node: fx.Node, inputs: Sequence[fx.Node], settings: dict[int, Any] | None = None
    ) -> None:
        if self._stream and len({self._reaches[source] for source in inputs}) > 1:
            raise _unknown(f"{node.target} of what is late by different rows, in strips")
        names = [self._take(source) for source in inputs]
        self._reaches[node] = max((self._reaches[source] for source in inputs), default=0.0)
        self._scales[node] = self._scales[inputs[0]] if inputs else 1.0
        options = [f"{key}={value}" for key, value in (settings or {}).items()]
        self._line([kind, node.name, len(names), 1, *names, node.name, *options])
        self._free[node] = [node.name]
        if (uses := self._uses[node]) > 1:  # a blob is used once
            self._free[node] = [f"{node.name}:{i}" for i in range(uses)]
            self._line(["Split", f"{node.name}:split", 1, uses, node.name, *self._free[node]])

    def _line(self, words: Sequence[Any]) -> None:
        self._lines.append(" ".join(map(str, words)))
        self._blobs += words[3]

    def _take(self, node: fx.Node) -> str:
        return self._free[node].pop()


def _inputs_of(node: fx.Node) -> list[fx.Node]:
    """Nodes that a node computes with, in their order and as often as they stand there."""
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), lambda source: found.append(source))
    return found


def _unknown(layer: object) -> ModelError:
    return ModelError(f"ncnn is not told how to run {layer}", hint="use --engine torch")


def _bytes(weight: Tensor) -> bytes:
    return weight.detach().float().contiguous().numpy().tobytes()
