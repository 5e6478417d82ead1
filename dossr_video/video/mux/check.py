"""What a proof says of each thing it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One promise and what was found."""

    name: str
    passed: bool
    found: str  # in plain words
    warning: bool = False  # passed, and yet out of the ordinary
