"""Networks run by ncnn: on a CPU its 3 x 3 convolutions (Winograd, in float32) take half the time of PyTorch's.

A method of a torch module is traced and every layer written as ncnn's, with the weights that the module has: a network
of other sizes, or with more layers of the same kinds, needs nothing here. The formats:
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure and its operators.md.
"""

from __future__ import annotations

import math
import operator
import struct
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dossr_video.errors import ModelError

LEAST_ROWS = 32  # of a strip
SHARE, LEAST_SHARE = 24, 8  # rows of a strip for one that its neighbour computes again: 8 to 25 % are done twice
PIXELS = 2**17  # of a strip, where that leaves it LEAST_SHARE: ncnn takes a kilobyte and more for each


def run_by_ncnn(module: nn.Module, *methods: str) -> None:
    """Have ncnn compute the methods of a module; raises ModelError as NcnnNetwork.

    Module's __call__ goes through `forward`, wherever that is.
    """
    traced = nn.Sequential(module) if isinstance(module, nn.Conv2d) else module  # what a layer does is not looked into
    for method in methods:
        setattr(module, method, NcnnNetwork(traced, method))


class NcnnNetwork:
    """What a method of a module computes, for float32 tensors (B, C, H, W) on the CPU.

    Tall pictures go by strips, for what ncnn needs on the way is several times the size of the tensors. All inputs are
    of one size, and where they end zeros are seen; threads are those of PyTorch when the network is made.
    """

    def __init__(self, module: nn.Module, method: str = "forward") -> None:
        """Raises ModelError for a layer that is not known here."""
        import ncnn  # its wheel brings an OpenMP of its own

        graph = _Graph(module, method)
        self._mat = ncnn.Mat
        self._net = ncnn.Net()
        option = self._net.opt
        option.num_threads = torch.get_num_threads()
        # Float32 whatever else the processor has.
        option.use_bf16_storage = option.use_bf16_packed = option.use_int8_inference = False
        option.use_fp16_storage = option.use_fp16_packed = option.use_fp16_arithmetic = False
        if self._net.load_param_mem(graph.text()):
            raise ModelError("ncnn refuses a network", hint="use --engine torch")
        self._net.load_model_mem(b"".join(graph.weights))
        option.blob_allocator, option.workspace_allocator = self._pools = _pools()
        self._inputs, self._outputs, self._channels = graph.inputs, graph.outputs, graph.channels
        self._reach = graph.reach

    def __call__(self, *tensors: Tensor | None) -> Any:
        """A tensor, or a tuple of several; an input of None is all zeros."""
        whole = next(tensor for tensor in tensors if tensor is not None)
        if len(whole) > 1:
            each = [self(*(None if t is None else t[i : i + 1] for t in tensors)) for i in range(len(whole))]
            return torch.cat(each) if isinstance(each[0], Tensor) else tuple(map(torch.cat, zip(*each, strict=True)))
        return _one_or_all(self._by_strips(tensors, whole.shape[2:]))

    def _by_strips(self, tensors: Sequence[Tensor | None], sizes: Sequence[int]) -> list[Tensor]:
        rows = max(LEAST_ROWS, LEAST_SHARE * self._reach, min(SHARE * self._reach, PIXELS // sizes[1]))
        if sizes[0] <= rows + self._reach:
            return self._run(tensors, slice(None), sizes)
        results: list[Tensor] = []
        for top in range(0, sizes[0], rows):
            first, last = max(top - self._reach, 0), min(top + rows + self._reach, sizes[0])
            parts = self._run(tensors, slice(first, last), sizes)
            factors = [part.shape[2] // (last - first) for part in parts]
            if not results:
                results = [
                    part.new_empty(*part.shape[:2], sizes[0] * factor, part.shape[3])
                    for part, factor in zip(parts, factors, strict=True)
                ]
            for result, part, factor in zip(results, parts, factors, strict=True):
                inside = part[:, :, (top - first) * factor :][:, :, : rows * factor]
                result[:, :, top * factor :][:, :, : rows * factor] = inside
        return results

    def _run(self, tensors: Sequence[Tensor | None], rows: slice, sizes: Sequence[int]) -> list[Tensor]:
        extractor = self._net.create_extractor()
        arrays = []  # ncnn looks at their memory
        for name, tensor in zip(self._inputs, tensors, strict=True):
            if tensor is None:
                tensor = torch.zeros(1, self._channels[name], 1, 1).expand(-1, -1, *sizes)
            arrays.append(tensor[0, :, rows].contiguous().numpy())
            extractor.input(name, self._mat(arrays[-1]))
        results = []
        for name in self._outputs:
            failed, found = extractor.extract(name)
            if failed:  # the networks are known to fit, so nothing but memory is missing
                raise RuntimeError("ncnn: not enough memory")
            results.append(torch.from_numpy(np.array(found))[None])
        del extractor, found
        for pool in self._pools:
            pool.clear()
        return results


@cache
def _pools() -> tuple[Any, Any]:
    """Where networks take memory from: one for all, for each keeps what it once had."""
    import ncnn

    return ncnn.PoolAllocator(), ncnn.PoolAllocator()


def _one_or_all(results: list[Tensor]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


class _Graph:
    """The layers of a traced method in ncnn's words; `weights` in the order of the layers."""

    def __init__(self, module: nn.Module, method: str) -> None:
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
        self._layer("Convolution", node, [source], {0: layer.out_channels, **options})
        self._reaches[node] += side // 2 / self._scales[node]
        if source.op == "placeholder":
            self.channels[source.name] = layer.in_channels

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


def _unknown(layer: Any) -> ModelError:
    return ModelError(f"ncnn is not told how to run {layer}", hint="use --engine torch")


def _bytes(weight: Tensor) -> bytes:
    return weight.detach().float().contiguous().numpy().tobytes()
