from __future__ import annotations

from pathlib import Path

import pytest

from conftest import TINY, content  # type: ignore[import-not-found]
