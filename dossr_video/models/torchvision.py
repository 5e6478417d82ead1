"""torchvision for the libraries that import it: spandrel, and transformers where it finds it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

_declared: Any = None  # lives as long as the declarations are to


def import_torchvision() -> None:
    """Import torchvision where it is installed, also where its compiled operators do not load.

    They do not beside a torch from another index, such as a CPU build, and then the import fails for want of their
    declarations. Those who import it here use its Python code alone, so the operators are declared and never called.
    """
    global _declared
    if find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError:
        library: Any = torch.library.Library
        _declared = library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
