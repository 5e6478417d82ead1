"""Check the DoSSR implementation against golden data: `python scripts/parity.py DIR`.

DIR is a golden set or holds some in its folders. A set is a config.json, a checkpoint (or the recipe.json of one), a
tolerances.json, and any of schedule.npz, networks.npz, sampler.npz, color.npz, e2e.npz. Sizes, seeds, steps, orders
and prompts are read from them. Prints the largest difference of every array; exits with 1 when any is out of tolerance.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dossr_video.color import color_fix
from dossr_video.diffusion.sampler import sample
from dossr_video.diffusion.schedule import SHIFT_STEPS, make_point, make_schedule, training_tables
from dossr_video.errors import DossrError, ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import Condition, Restored
from dossr_video.models.checkpoint import read_weights
from dossr_video.models.dossr.model import LATENT_SCALE, DoSSR
from dossr_video.models.dossr.networks import STORED_PROMPTS, ReleasedCheckpoint, load_networks

Arrays = dict[str, Tensor]
Results = Iterator[tuple[str, Tensor]]  # name of a golden array, what we get for it
CPU = torch.device("cpu")
GIVEN = re.compile(r"lq_u8|.*noise|noise_b\d+|unet_.*|tokens_.*|content|style|steps|order")  # inputs of the checks

# For arrays that a set gives no limit for.
USUAL_LIMITS = {torch.float64: {"rtol": 1e-12}, torch.float32: {"atol": 1e-4}, torch.uint8: {"atol": 1}}


@dataclass(frozen=True)
class GoldenSet:
    folder: Path
    config: dict[str, Any]
    limits: dict[str, Any]  # by file, by array: atol or rtol
    arrays: dict[str, Arrays]  # by file

    @classmethod
    def read(cls, folder: Path) -> GoldenSet:
        arrays = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                arrays[path.stem] = {name: torch.from_numpy(np.array(file[name])) for name in file.files}
        limits = folder / "tolerances.json"
        return cls(
            folder,
            json.loads((folder / "config.json").read_text()),
            json.loads(limits.read_text())["arrays"] if limits.exists() else {},
            arrays,
        )


@dataclass
class Report:
    failures: list[str] = field(default_factory=list)

    def check(self, golden: GoldenSet, file: str, results: Results) -> None:
        seen = set()
        for name, ours in results:
            if name in golden.arrays[file] and name not in seen:
                self._compare(golden, file, name, ours)
            seen.add(name)
        for name in golden.arrays[file]:
            if name not in seen and not GIVEN.fullmatch(name):
                print(f"{golden.folder.name}/{file:<9} {name:<28} not checked: not known by this name")

    def _compare(self, golden: GoldenSet, file: str, name: str, ours: Tensor) -> None:
        theirs = golden.arrays[file][name]
        limit = golden.limits.get(file, {}).get(name) or USUAL_LIMITS.get(theirs.dtype, {"atol": 0})
        if ours.shape != theirs.shape:
            difference, allowed, good = f"shape {tuple(ours.shape)}", f"shape {tuple(theirs.shape)}", False
        else:
            gap = (ours.double() - theirs.double()).abs()
            if "rtol" in limit:
                gap = gap / theirs.double().abs().clamp_min(torch.finfo(torch.float64).tiny)
            largest = gap.max().item() if gap.numel() else 0.0
            kind = "rtol" if "rtol" in limit else "atol"
            difference, allowed, good = f"{largest:.1e}", f"{kind} {limit[kind]:.0e}", largest <= limit[kind]
        print(f"{golden.folder.name}/{file:<9} {name:<28} {difference:>12} {allowed:>12}  {'ok' if good else 'FAILED'}")
        if not good:
            self.failures.append(f"{golden.folder.name}/{file} {name}")


def schedule_results(arrays: Arrays) -> Results:
    abar, eta = training_tables()
    yield "base_betas", 1 - abar / torch.cat((abar.new_ones(1), abar[:-1]))
    yield "base_alphas_cumprod", abar
    yield "base_etas", eta
    yield "t1", torch.tensor(SHIFT_STEPS)
    for steps in sorted({int(match[1]) for name in arrays if (match := re.match(r"s(\d+)_", name))}):
        points = make_schedule(steps)
        yield f"s{steps}_timesteps", torch.tensor([point.t for point in points])
        for name, value in (
            ("alphas_cumprod", lambda point: point.abar),
            ("etas", lambda point: point.eta),
            ("sigmas", lambda point: point.s),
            ("alphas_multi_one_minus_etas", lambda point: point.A),
            ("lambdas", lambda point: point.lam),
        ):
            yield f"s{steps}_{name}", torch.tensor([value(point) for point in points], dtype=torch.float64)


def color_results(arrays: Arrays) -> Results:
    for kind in ("adain", "wavelet"):
        yield kind, color_fix(arrays["content"], arrays["style"], kind)


def network_results(arrays: Arrays, model: DoSSR, tower: torch.nn.Module) -> Results:
    if "lq_u8" in arrays:
        yield from picture_results(arrays, model)
    if "vae_latent" in arrays:
        yield "dec_out", 2 * model.decode(arrays["vae_latent"]) - 1
    for side in ("pos", "neg"):
        tokens = arrays.get(f"tokens_{side}", arrays.get(f"tokens_{side}_mod"))
        if tokens is not None:
            yield f"context_{side}", tower(tokens)
    if "unet_x" in arrays:
        inputs = [arrays[f"unet_{name}"] for name in ("x", "t", "hint", "context")]
        down, middle = model.control(*inputs)
        for number, output in enumerate([*down, middle]):
            yield f"control_{number:02d}", output
        for name, control in (("eps", 1.0), ("eps_half_control", 0.5), ("eps_no_control", 0.0)):
            yield name, model.predict_noise(*inputs, control=control)


def picture_results(arrays: Arrays, model: DoSSR) -> Results:
    restored = restore(model, arrays["lq_u8"])
    yield "rrdb_out", restored
    img = restored.clamp(0, 1)
    networks = model.networks
    yield "vae_moments", networks.vae.quant_conv(networks.vae.encoder(2 * img - 1))
    mean, deviation = model.posterior(img)
    yield "vae_mode", mean / LATENT_SCALE
    yield "vae_std", deviation / LATENT_SCALE
    if "vae_noise" in arrays:
        yield "vae_latent", mean + deviation * arrays["vae_noise"]
    encoder = networks.cond_encoder
    yield "cond_moments", (encoder or (lambda x: networks.vae.quant_conv(networks.vae.encoder(x))))(2 * img - 1)
    yield "cond_latent", model.condition(Restored(img), mean).hint


def sampler_results(arrays: Arrays, lq: Tensor | None, model: DoSSR, contexts: Tensor, cfg_scale: float) -> Results:
    """Every recorded run, from the pictures `lq` where there are some, else from the recorded latents."""
    img = None if lq is None else restore(model, lq).clamp(0, 1)
    runs = sorted({match[0] for name in arrays if (match := re.match(r"o\d_s\d+(_cfg)?(_b\d+)?(?=_)", name))})
    for run in runs:
        order, steps, guided, batch = re.fullmatch(r"o(\d)_s(\d+)(_cfg)?(?:_b(\d+))?", run).groups()
        noise = arrays[f"noise_b{batch}" if batch else "noise"]
        if img is None:
            pictures, start, hint = None, arrays["x0_hat"], arrays["cond_latent"]
        else:
            pictures = img[: noise.shape[1]]
            start, hint = encode(model, pictures, noise[0])
        if not batch:
            yield from (("x0_hat", start), ("cond_latent", hint))
        sides = contexts if guided else contexts[:1]
        runner = DoSSR(model.networks, sides, name=model.name, digest=model.digest, cfg_scale=cfg_scale)
        latents, trace = run_sampler(runner, start, hint, noise[1:], int(order), int(steps))
        yield from ((f"{run}_{name}", torch.stack(values)) for name, values in trace.items())
        image = model.decode(latents)
        yield f"{run}_image", image
        if pictures is not None:
            yield from ((f"{run}_{kind}_image", color_fix(image, pictures, kind)) for kind in ("adain", "wavelet"))


def e2e_results(arrays: Arrays, model: DoSSR, contexts: Tensor) -> Results:
    img = restore(model, arrays["lq_u8"]).clamp(0, 1)
    order, steps, noise = int(arrays["order"]), int(arrays["steps"]), arrays["noise"]
    start, hint = encode(model, img, noise[0])
    unguided = DoSSR(model.networks, contexts[:1], name=model.name, digest=model.digest)
    latents, _ = run_sampler(unguided, start, hint, noise[1:], order, steps)
    for kind in ("none", "adain", "wavelet"):
        picture = color_fix(model.decode(latents), img, kind).clamp(0, 1)
        yield f"out_u8_{kind}", (picture * 255).byte().permute(0, 2, 3, 1)  # cut off, as published


def run_sampler(
    model: DoSSR, start: Tensor, hint: Tensor, noise: Tensor, order: Any, steps: int
) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """The final latents, and x, eps and x0 of every call; noise (steps + 1, T, C, h, w)."""
    trace: dict[str, list[Tensor]] = {"x": [], "eps": [], "x0": []}
    condition = Condition(hint)

    def denoise(x: Tensor, t: int) -> Tensor:
        x0 = model.denoise(x, t, condition)
        point = make_point(t)
        for name, value in (("x", x), ("eps", (x - point.a * x0) / point.s), ("x0", x0)):
            trace[name].append(value)
        return x0

    schedule = make_schedule(steps)
    latents = sample(denoise, schedule, start, noise=lambda call: noise[call], order=order, final="landing")
    trace["x"].append(latents)
    return latents, trace


def encode(model: DoSSR, pictures: Tensor, posterior_noise: Tensor) -> tuple[Tensor, Tensor]:
    """The start latents, drawn from the posterior as published, and the hint."""
    mean, deviation = model.posterior(pictures)
    return mean + deviation * posterior_noise, model.condition(Restored(pictures), mean).hint


def restore(model: DoSSR, lq_u8: Tensor) -> Tensor:
    frames = lq_u8.permute(0, 3, 1, 2).float() / 255
    count, _, height, width = frames.shape
    still = Motion(torch.zeros(count, 2, height, width), torch.zeros(count, 1, height, width))
    return model.restore(frames, still, None).pictures


def open_checkpoint(golden: GoldenSet, root: Path, scratch: Path) -> ReleasedCheckpoint:
    """The set's own checkpoint, or the one that its recipe draws."""
    config = golden.config
    found = sorted(path for path in golden.folder.iterdir() if path.suffix in (".ckpt", ".pt", ".safetensors"))
    if found:
        path = found[0]
    elif (golden.folder / "recipe.json").exists():
        path = scratch / f"{golden.folder.name}.ckpt"
        torch.save({"state_dict": draw_recipe(golden.folder / "recipe.json", root)}, path)
    else:
        raise ModelError(f"{golden.folder} has no checkpoint and no recipe.json", hint="give a complete golden set")
    return ReleasedCheckpoint(
        path,
        head_channels=config["unet"]["num_head_channels"],
        text_head_channels=config["text"]["width"] // config["text"]["heads"],
    )


def draw_recipe(path: Path, root: Path) -> Arrays:
    """Every tensor of a recipe: given values, or normal numbers from a generator of its own, in half precision.

    Buffers come from any checkpoint beside it. With them, the recipe's sha256 is checked.
    """
    recipe = json.loads(path.read_text())
    buffers = next((read_weights(found) for found in sorted(root.rglob("*.ckpt"))), {})
    weights = {}
    for key, shape, *rest in recipe["tensors"]:
        if rest[0] == "buffer":
            if key in buffers:
                weights[key] = buffers[key]
            continue
        if len(rest) == 1:
            values = np.asarray(rest[0], np.float64)
        else:
            mean, deviation = rest
            seed = (recipe["seed"] * 1000003 + zlib.crc32(key.encode())) & 0xFFFFFFFF
            values = mean + deviation * np.random.RandomState(seed).standard_normal(tuple(shape))
        halved = np.asarray(values, np.float32).astype(np.float16).astype(np.float32)
        weights[key] = torch.from_numpy(halved.reshape(shape).copy())
    if len(weights) == len(recipe["tensors"]):
        digest = hashlib.sha256()
        for key, value in weights.items():
            digest.update(key.encode() + b"\0" + value.float().numpy().astype("<f4").tobytes())
        if digest.hexdigest() != recipe["sha256"]:
            raise ModelError(f"{path} draws other weights than it should", hint="use the numpy that the set names")
    return weights


def prompt_contexts(networks: Mapping[str, Tensor], checkpoint: ReleasedCheckpoint) -> Tensor:
    """(2, 77, D): the recorded contexts where there are some, else those of the default prompts."""
    if "context_pos" in networks:
        return torch.cat([networks["context_pos"], networks.get("context_neg", networks["context_pos"])])
    return checkpoint.contexts(STORED_PROMPTS)


def check_set(golden: GoldenSet, root: Path, report: Report) -> None:
    arrays = golden.arrays
    if "schedule" in arrays:
        report.check(golden, "schedule", schedule_results(arrays["schedule"]))
    if "color" in arrays:
        report.check(golden, "color", color_results(arrays["color"]))
    if not arrays.keys() & {"networks", "sampler", "e2e"}:
        return
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = open_checkpoint(golden, root, Path(scratch))
        contexts = prompt_contexts(arrays.get("networks", {}), checkpoint)
        networks = load_networks(checkpoint, device=CPU, dtype=torch.float32)
        model = DoSSR(networks, contexts, name=golden.folder.name, digest="")
        if "networks" in arrays:
            tower = checkpoint.network("text_encoder", device=CPU, dtype=torch.float32)
            report.check(golden, "networks", network_results(arrays["networks"], model, tower))
        if "sampler" in arrays:
            lq = arrays["sampler"].get("lq_u8", arrays.get("networks", {}).get("lq_u8"))
            cfg_scale = golden.config["sampler"].get("guided_run", {}).get("cfg_scale", 1.0)
            report.check(golden, "sampler", sampler_results(arrays["sampler"], lq, model, contexts, cfg_scale))
        if "e2e" in arrays:
            report.check(golden, "e2e", e2e_results(arrays["e2e"], model, contexts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    root = parser.parse_args().folder
    folders = sorted(path.parent for path in root.rglob("config.json"))
    if not folders:
        print(f"error: {root} holds no config.json", file=sys.stderr)
        return 1
    report = Report()
    try:
        with torch.inference_mode():
            for folder in folders:
                check_set(GoldenSet.read(folder), root, report)
    except DossrError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    print(f"{len(report.failures)} arrays out of tolerance", *report.failures, sep="\n  ")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
