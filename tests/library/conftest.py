from __future__ import annotations

import pytest

from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.settings import Settings


@pytest.fixture(scope="session")
def executor(tiny: Settings) -> LocalExecutor:
    """With it a library is worked on in this process: others take seconds to start."""
    return LocalExecutor(worker_spec(tiny))
