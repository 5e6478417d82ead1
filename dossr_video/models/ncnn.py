"""Networks run by ncnn: on a CPU its 3 x 3 convolutions (Winograd, in float32) take half the time of PyTorch's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.models.ncnn_graph import Graph
from dossr_video.threads import wait_asleep

LEAST_ROWS = 32  # of a strip
SHARE, LEAST_SHARE = 24, 8  # rows of a strip for one that its neighbour computes again: 8 to 25 % are done twice
PIXELS = 2**17  # of a strip, where that leaves it LEAST_SHARE: ncnn takes a kilobyte and more for each

Array = NDArray[np.float32]


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
        self._graph = Graph(module, method)
        self._net = _Net(self._graph)

    def __call__(self, *tensors: Tensor | None) -> Any:
        """A tensor, or a tuple of several; an input of None is all zeros."""
        whole = next(tensor for tensor in tensors if tensor is not None)
        if len(whole) > 1:
            each = [self(*(None if t is None else t[i : i + 1] for t in tensors)) for i in range(len(whole))]
            return torch.cat(each) if isinstance(each[0], Tensor) else tuple(map(torch.cat, zip(*each, strict=True)))
        return _one_or_all(self._by_strips(tensors, whole.shape[2:]))

    def _by_strips(self, tensors: Sequence[Tensor | None], sizes: Sequence[int]) -> list[Tensor]:
        reach = self._graph.reach
        rows = max(LEAST_ROWS, LEAST_SHARE * reach, min(SHARE * reach, PIXELS // sizes[1]))
        if sizes[0] <= rows + reach:
            return self._run(tensors, slice(None), sizes)
        results: list[Tensor] = []
        for top in range(0, sizes[0], rows):
            first, last = max(top - reach, 0), min(top + rows + reach, sizes[0])
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
        arrays: dict[str, Array] = {}
        for name, tensor in zip(self._graph.inputs, tensors, strict=True):
            if tensor is None:
                tensor = torch.zeros(1, self._graph.channels[name], 1, 1).expand(-1, -1, *sizes)
            arrays[name] = tensor[0, :, rows].contiguous().numpy()
        results = self._net(arrays, self._graph.outputs)
        _let_go()
        return [torch.from_numpy(result)[None] for result in results]


class NcnnStream:
    """What layers one behind the other compute, for a picture that comes strip by strip from its top to its bottom.

    No row is computed twice, for each convolution keeps the last rows that it saw; and what it works on is small enough
    for the processor's caches, so this takes less time than the picture as a whole.
    """

    def __init__(self, module: nn.Module, method: str = "forward") -> None:
        """Raises ModelError for a layer that is not known here, or cannot be in a stream."""
        self._graphs = {last: Graph(module, method, stream=True, last=last) for last in (False, True)}
        self._nets = {last: _Net(graph) for last, graph in self._graphs.items()}

    @property
    def least(self) -> int:
        """Rows of a strip, but for the last one: less, and the first would end within the layers."""
        return self._graphs[True].reach + 1

    def __call__(self, strips: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
        """The next rows of the results for each strip of the inputs: float32 (1, C, h, W), all of one size.

        They are late by as many rows as they depend on below; what is left comes with the last strip.
        """
        carried: list[Array] = []
        items = chain(strips, [None])
        strip = next(items)
        while strip is not None:
            after = next(items)
            graph, net = self._graphs[after is None], self._nets[after is None]
            inputs = [tensor[0].contiguous().numpy() for tensor in strip]
            if not carried:
                above = graph.carried.values()
                carried = [np.zeros((count, rows, strip[0].shape[3]), np.float32) for count, rows in above]
            arrays = dict(zip((*graph.inputs, *graph.carried), (*inputs, *carried), strict=True))
            # What is left of each layer first: until it is asked for, ncnn holds what the layer saw.
            results = net(arrays, [*graph.left, *graph.outputs])
            carried = [np.ascontiguousarray(rows) for rows in results[: len(graph.left)]]
            yield tuple(torch.from_numpy(result)[None] for result in results[len(graph.left) :])
            strip = after
        _let_go()


class _Net:
    """The layers of a graph in ncnn."""

    def __init__(self, graph: Graph) -> None:
        ncnn = _library()
        self._mat, self._net = ncnn.Mat, ncnn.Net()
        option = self._net.opt
        option.num_threads = torch.get_num_threads()
        # Float32 whatever else the processor has.
        option.use_bf16_storage = option.use_bf16_packed = option.use_int8_inference = False
        option.use_fp16_storage = option.use_fp16_packed = option.use_fp16_arithmetic = False
        if self._net.load_param_mem(graph.text()):
            raise ModelError("ncnn refuses a network", hint="use --engine torch")
        self._net.load_model_mem(b"".join(graph.weights))
        option.blob_allocator, option.workspace_allocator = _pools()

    def __call__(self, arrays: Mapping[str, Array], wanted: Sequence[str]) -> list[Array]:
        """The blobs of these names for inputs (C, h, W)."""
        extractor = self._net.create_extractor()
        for name, array in arrays.items():
            extractor.input(name, self._mat(array))  # it looks at the array's memory
        results = []
        for name in wanted:
            failed, found = extractor.extract(name)
            if failed:  # the networks are known to fit, so nothing but memory is missing
                raise RuntimeError("ncnn: not enough memory")
            results.append(np.asarray(found))  # it keeps the blob
        return results


@cache
def _pools() -> tuple[Any, Any]:
    """Where networks take memory from: one for all, for each keeps what it once had."""
    ncnn = _library()
    return ncnn.PoolAllocator(), ncnn.PoolAllocator()


def _library() -> Any:
    wait_asleep()
    import ncnn  # its wheel brings an OpenMP of its own

    return ncnn


def _let_go() -> None:
    """Of the memory of all networks."""
    for pool in _pools():
        pool.clear()


def _one_or_all(results: list[Tensor]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)
