"""Damage as archives and libraries have it: recipes of steps, read from configs/degradation.yaml.

A clip is (T, H, W, 3) float32 RGB in [0, 255]. A step takes a clip, a random generator and its parameters, and draws
once per clip what a camera, a print or a codec would keep, and per frame what changes from frame to frame. A parameter
given as [low, high] is drawn uniformly between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from dossr_video.errors import SettingsError
from dossr_video.training.compression import compress

Clip = NDArray[np.float32]
Step = Callable[..., Clip]
Random = np.random.Generator

STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    STEPS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Recipe:
    """A kind of footage: what its light did (the truth shows it too), then what damaged it."""

    name: str
    weight: float
    light: tuple[Mapping[str, Any], ...]
    damage: tuple[Mapping[str, Any], ...]


def read_recipes(path: Path) -> tuple[Recipe, ...]:
    """Recipes of a YAML file. Raises SettingsError for a step that does not exist."""
    recipes = []
    for name, entry in yaml.safe_load(path.read_text()).items():
        recipe = Recipe(name, entry["weight"], tuple(entry.get("light", ())), tuple(entry["damage"]))
        for line in (*recipe.light, *recipe.damage):
            if line["step"] not in STEPS:
                raise SettingsError(
                    f"{path}, recipe {name}: step {line['step']!r} does not exist", hint=f"steps: {', '.join(STEPS)}"
                )
        recipes.append(recipe)
    return tuple(recipes)


def pick(recipes: Sequence[Recipe], rng: Random) -> Recipe:
    weights = np.array([recipe.weight for recipe in recipes])
    return recipes[rng.choice(len(recipes), p=weights / weights.sum())]


def degrade(truth: NDArray[np.uint8], recipe: Recipe, rng: Random) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(T, 4h, 4w, 3) -> the damaged clip (T, h, w, 3) and the truth in its light, both uint8."""
    lit = _run(recipe.light, truth.astype(np.float32), rng)
    damaged = _run(recipe.damage, lit, rng)
    return _bytes(damaged), _bytes(lit)


def _run(lines: Sequence[Mapping[str, Any]], clip: Clip, rng: Random) -> Clip:
    for line in lines:
        parameters = {key: value for key, value in line.items() if key not in ("step", "chance")}
        if rng.random() < line.get("chance", 1.0):
            drawn = {key: _draw(value, rng) for key, value in parameters.items()}
            clip = STEPS[line["step"]](clip, rng, **drawn)
    return clip


def _draw(value: Any, rng: Random) -> Any:
    if isinstance(value, list):
        return rng.choice(value) if isinstance(value[0], str) else rng.uniform(*value)
    return value


def _bytes(clip: Clip) -> NDArray[np.uint8]:
    return clip.round().clip(0, 255).astype(np.uint8)


def _each(clip: Clip, function: Callable[[Clip], Any]) -> Clip:
    return np.stack([function(frame) for frame in clip]).astype(np.float32)


def band_ratio(clip: NDArray[Any]) -> float:
    """How sharp a clip (T, H, W, 3) is at its own pixels: the deviation of the finest band of its luma to the next.

    The bands are Gaussian blurs of 0.7 minus 1.4 pixels and 1.4 minus 2.8. Scans of old film have 0.54 to 0.62, video
    made in its own size 0.8 to 0.9; grain and noise count as sharpness.
    """
    energies = np.zeros(2)
    for frame in clip:
        luma = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        fine, middle, coarse = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (0.7, 1.4, 2.8))
        energies += np.square(fine - middle).mean(), np.square(middle - coarse).mean()
    return float(np.sqrt(energies[0] / energies[1]))


# Optics and scanning


@step
def blur(clip: Clip, rng: Random, *, sigma: float, ratio: float = 1.0) -> Clip:
    """Gaussian of std sigma along a random direction and ratio * sigma across it."""
    radius = int(np.ceil(3 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-((along / sigma) ** 2 + (across / (ratio * sigma)) ** 2) / 2)
    return _each(clip, lambda frame: cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


@step
def sinc(clip: Clip, rng: Random, *, cutoff: float) -> Clip:
    """Windowed ideal low pass; cutoff is a fraction of the Nyquist frequency. Rings as cheap scalers do."""
    x = np.arange(-8, 9)
    row = cutoff * np.sinc(cutoff * x) * np.hamming(17)
    row /= row.sum()
    return _each(clip, lambda frame: cv2.sepFilter2D(frame, -1, row, row, borderType=cv2.BORDER_REFLECT))


@step
def shrink(clip: Clip, rng: Random, *, factor: float = 4, method: str = "area") -> Clip:
    interpolation = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[method]
    size = round(clip.shape[2] / factor), round(clip.shape[1] / factor)
    return _each(clip, lambda frame: cv2.resize(frame, size, interpolation=interpolation))


@step
def rescale(clip: Clip, rng: Random, *, factor: float) -> Clip:
    """To factor times the size and back: a copy of another size somewhere on the way."""
    h, w = clip.shape[1:3]
    small = shrink(clip, rng, factor=1 / factor, method=str(rng.choice(["area", "linear", "cubic"])))
    return _each(small, lambda frame: cv2.resize(frame, (w, h), interpolation=cv2.INTER_CUBIC))


@step
def weave(clip: Clip, rng: Random, *, std: float, hold: float = 0.8) -> Clip:
    """Gate weave: a random walk of std pixels a frame that the gate pulls back by 1 - hold."""
    h, w = clip.shape[1:3]
    frames, place = [], np.zeros(2)
    for frame in clip:
        place = hold * (place + rng.normal(0, std, 2))
        shift = np.array([[1, 0, place[0]], [0, 1, place[1]]], np.float32)
        frames.append(cv2.warpAffine(frame, shift, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


@step
def interlace(clip: Clip, rng: Random, *, strength: float) -> Clip:
    """What a poor deinterlacer leaves: odd rows drawn towards those of the next frame."""
    after = np.concatenate([clip[1:], clip[-1:]])
    mixed = clip.copy()
    mixed[:, 1::2] += strength * (after[:, 1::2] - clip[:, 1::2])
    return mixed


@step
def halo(clip: Clip, rng: Random, *, amount: float, sigma: float) -> Clip:
    """Sharpening along the lines, as tape decks and broadcasters did it."""
    return _each(clip, lambda frame: frame + amount * (frame - cv2.GaussianBlur(frame, (0, 0), sigma, sigmaY=0.3)))


# Light and film


@step
def exposure(clip: Clip, rng: Random, *, std: float) -> Clip:
    """Brightness of each frame times 1 + std n."""
    return (clip * rng.normal(1, std, (len(clip), 1, 1, 1))).astype(np.float32)


@step
def gamma(clip: Clip, rng: Random, *, power: float) -> Clip:
    """Darker by a power of the brightness; white stays."""
    return (255 * (clip.clip(0, 255) / 255) ** power).astype(np.float32)


@step
def grey(clip: Clip, rng: Random) -> Clip:
    luma = clip @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(luma[..., None], 3, axis=-1)


@step
def grain(clip: Clip, rng: Random, *, std: float, sigma: float) -> Clip:
    """Noise on the luma, blurred by sigma pixels, new on every frame."""
    noise = rng.normal(0, std, clip.shape[:3]).astype(np.float32)
    return clip + np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in noise])[..., None]


@step
def dust(clip: Clip, rng: Random, *, rate: float, radius: float) -> Clip:
    """Specks of up to radius pixels, rate of them per 10,000 pixels of each frame, white or black."""
    h, w = clip.shape[1:3]
    marked = clip.copy()
    for frame in marked:
        for _ in range(rng.poisson(rate * h * w / 1e4)):
            centre, value = (int(rng.integers(w)), int(rng.integers(h))), float(rng.choice([20.0, 230.0]))
            cv2.circle(frame, centre, int(rng.integers(0, int(radius) + 1)), (value,) * 3, -1)
    return marked


@step
def scratch(clip: Clip, rng: Random, *, strength: float) -> Clip:
    """A vertical line that begins and ends at random and drifts."""
    first, last = sorted(int(value) for value in rng.integers(0, len(clip) + 1, 2))
    marked, x = clip.copy(), float(rng.uniform(0, clip.shape[2] - 1))
    for frame in marked[first:last]:
        frame[:, int(np.clip(x, 0, clip.shape[2] - 1))] += strength
        x += rng.normal(0, 0.3)
    return marked


# Electronics and codecs


@step
def noise(clip: Clip, rng: Random, *, std: float) -> Clip:
    return clip + rng.normal(0, std, clip.shape).astype(np.float32)


@step
def poisson(clip: Clip, rng: Random, *, photons: float) -> Clip:
    """Shot noise of a sensor that counts so many photons at white."""
    return (rng.poisson(clip.clip(0, 255) / 255 * photons) / photons * 255).astype(np.float32)


@step
def chroma(clip: Clip, rng: Random, *, sigma: float, shift: float) -> Clip:
    """Colour bled along the lines by sigma pixels and moved by shift, as on tape."""

    def bleed(frame: Clip) -> Clip:
        parts = cv2.cvtColor(frame / 255, cv2.COLOR_RGB2YCrCb)
        colour = cv2.GaussianBlur(parts[..., 1:], (0, 0), sigma, sigmaY=0.3)
        move = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
        size = frame.shape[1], frame.shape[0]
        parts[..., 1:] = cv2.warpAffine(colour, move, size, borderMode=cv2.BORDER_REPLICATE)
        return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB) * 255

    return _each(clip, bleed)


@step
def dots(clip: Clip, rng: Random, *, amount: float) -> Clip:
    """Dot crawl of composite video: `amount` of the colour left in the luma, as a chequered pattern that moves up.

    The colour that a comb filter fails on is that which changes from line to line.
    """
    height, width = clip.shape[1:3]
    phase = np.arange(height)[:, None] + np.arange(width)
    marked = clip.copy()
    for i, frame in enumerate(marked):
        colour = frame[..., 0] - frame[..., 2]
        left = colour - cv2.blur(colour, (1, 5), borderType=cv2.BORDER_REFLECT)
        frame += (amount * left * np.where((phase + i) % 2, 1, -1))[..., None]
    return marked


@step
def heads(clip: Clip, rng: Random, *, rate: float, strength: float) -> Clip:
    """Dirty tape heads: short lines of lost signal, `rate` of them per 10,000 pixels of each frame."""
    height, width = clip.shape[1:3]
    marked = clip.copy()
    for frame in marked:
        for _ in range(rng.poisson(rate * height * width / 1e4)):
            row, start, length = int(rng.integers(height)), int(rng.integers(width)), int(rng.integers(3, 25))
            line = frame[row, start : start + length]
            line += strength * rng.normal(1, 0.5) * np.linspace(1, 0, len(line))[:, None]
    return marked


@step
def jpeg(clip: Clip, rng: Random, *, quality: float) -> Clip:
    def press(frame: Clip) -> Any:
        _, data = cv2.imencode(".jpg", _bytes(frame)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]

    return _each(clip, press)


@step
def codec(clip: Clip, rng: Random, *, encoder: str, quality: float) -> Clip:
    return compress(_bytes(clip), encoder=encoder, quality=quality).astype(np.float32)
