"""Files of a training run that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_whole(content: dict[str, Any], path: Path) -> None:
    """torch.save, beside and renamed: a killed run leaves the file before, and two that write the same do not mix."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save(content, beside)
    beside.replace(path)
