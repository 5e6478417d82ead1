"""The few options that the page offers, and the command's options that a filled-in form means."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dossr_video.errors import SettingsError
from dossr_video.names import shown
from dossr_video.presets import load_config, load_preset, preset_names
from dossr_video.settings import MODELS, SIZES, Settings
from dossr_video.ui.folders import plain_name
from dossr_video.video.sequence import is_pattern, prefix_of
from dossr_video.video.write.containers import CONTAINERS

Form = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Choice:
    """A field with its values; the first of the list is always what the preset says."""

    name: str
    label: str
    values: Sequence[tuple[str, str]]  # value, words
    help: str = ""

    def require(self, value: str) -> None:
        """SettingsError for what is not in the list: on the command line a model may be any file, here not."""
        if value not in dict(self.values):
            raise SettingsError(f"{self.label}: {shown(value)} cannot be chosen", hint="choose from the list")


CHOICES = (
    Choice(
        "size",
        "Size of the result",
        [*((n, f"{n} times the width") for n in "234"), *((size, f"fits into {size}") for size in SIZES)],
        "without a preset: 4 times",
    ),
    Choice(
        "model",
        "Model",
        [(name, name) for name in MODELS],
        "auto: large where there is an accelerator, else compact; bicubic only enlarges",
    ),
    Choice(
        "strength",
        "Strength",
        [("1", "full"), ("0.75", "75 %"), ("0.5", "50 %"), ("0.25", "25 %"), ("0", "none")],
        "how much of what the model makes up is used",
    ),
    Choice("grain", "Grain", [("keep", "keep"), ("remove", "remove")], "keep: the grain of the film is put back"),
    Choice(
        "dust",
        "Dust and specks",
        [("auto", "where it is dirty"), ("off", "leave"), ("0.5", "remove"), ("0.8", "remove more")],
        "specks that one frame alone shows, and scratches",
    ),
    Choice(
        "deflicker",
        "Flickering exposure",
        [("yes", "even out"), ("no", "leave")],
        "of amateur cameras and projectors; fades stay",
    ),
    Choice(
        "deinterlace",
        "Interlacing",
        [
            ("auto", "look at the picture"),
            ("off", "leave"),
            ("frame", "a frame per frame"),
            ("field", "a frame per field"),
        ],
        "television and tape; a frame per field keeps all motion",
    ),
    Choice(
        "qc",
        "Check every shot",
        [("yes", "yes"), ("no", "no")],
        "a shot that flickers, shifts or changes colour is done again, at most twice",
    ),
    Choice(
        "compatible",
        "For every player",
        [("yes", "yes"), ("no", "no")],
        "yes: 8 bits and 4:2:0, which most players show",
    ),
)
FORMATS = {"prores_ks": ".mov", "ffv1": ".mkv"}  # that programs expect of an encoder
FLAGS = ("deflicker", "qc", "compatible")
TRIES = (
    Choice("model", "Model", [(name, name) for name in MODELS[1:]]),
    Choice("strength", "Strength", [("0.5", "50 %"), ("1", "full")]),
    Choice("grain", "Grain", [("keep", "keep"), ("remove", "remove")]),
    Choice("blend", "Blending in time", [("pixel", "on"), ("off", "off")]),
)
"""What a preview compares: every combination of the values that are ticked."""


def options_of(form: Form) -> tuple[str, ...]:
    """The options of a run; SettingsError when they do not fit together."""
    preset, options = _preset(form), dict(_chosen(form))
    Settings.of({**load_config(), **(load_preset(preset) if preset else {}), **options})
    return (*([f"--preset={preset}"] if preset else []), *(_option(name, value) for name, value in options.items()))


def preview_options(form: Form) -> tuple[str, ...]:
    """The options of a preview: those of the run, moments, and what is compared."""
    part = {"start", "end"}  # a preview looks at the moments that it is told
    places = _first(form, "moments").replace(",", " ").split()
    tries = [f"--try={choice.name}={','.join(ticked)}" for choice in TRIES if (ticked := _ticked(form, choice))]
    run = options_of({name: values for name, values in form.items() if name not in part})
    return (*run, *(f"--at={place}" for place in places), *tries)


def target_of(form: Form, source: Path, folder: Path, *, taken: Collection[Path]) -> Path:
    """The result in `folder`: the name that was typed, or a free one, with the extension of the format.

    `taken` are names of results to come, which are not there yet.

    Raises TargetError for a name that is none, SettingsError for a preset that cannot be read.
    """
    suffix = _first(form, "format") or _suffix(form, source)
    if suffix not in CONTAINERS:
        raise SettingsError(f"{shown(suffix)} is no format", hint=f"one of {' '.join(CONTAINERS)}")
    typed = _first(form, "name")
    if typed:
        plain_name(typed)
        return folder / (typed if typed.lower().endswith(suffix) else typed + suffix)
    return next(path for path in _names(folder, stem_of(source), suffix) if path not in taken and not _is_taken(path))


def _chosen(form: Form) -> Iterator[tuple[str, Any]]:
    """Settings by their names, of the fields that are filled in."""
    for choice in CHOICES:
        if value := _first(form, choice.name):
            choice.require(value)
            if choice.name == "size" and value.isdigit():
                yield "scale", int(value)
            else:
                yield choice.name, value == "yes" if choice.name in FLAGS else value
    for name in ("start", "end", "fps"):
        if value := _first(form, name):
            yield name, value


def _ticked(form: Form, choice: Choice) -> Sequence[str]:
    values = form.get(f"try-{choice.name}", ())
    for value in values:
        choice.require(value)
    return values


def _preset(form: Form) -> str:
    """By name: on the command line it may be any file, here not."""
    name = _first(form, "preset")
    if name and name not in preset_names():
        raise SettingsError(f"there is no preset {shown(name)}", hint=f"presets: {', '.join(preset_names())}")
    return name


def _option(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"


def _suffix(form: Form, source: Path) -> str:
    """The preset's own, or that of the source where its format is written, else .mkv."""
    preset = _preset(form)
    encoder = (load_preset(preset) if preset else {}).get("encoder", "libx264")
    wanted = FORMATS.get(encoder, source.suffix.lower())
    return wanted if wanted in CONTAINERS and encoder in CONTAINERS[wanted].encoders else ".mkv"


def stem_of(source: Path) -> str:
    """The name of a film, of which results get theirs; that of its folder for numbered pictures without one."""
    return (prefix_of(source) or source.parent.name) if is_pattern(source) else source.stem


def _names(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    yield folder / f"{stem}_restored{suffix}"
    number = 2
    while True:
        yield folder / f"{stem}_restored_{number}{suffix}"
        number += 1


def _is_taken(path: Path) -> bool:
    """By a result, its page, or what a job that was taken off the list has finished."""
    return any(os.path.lexists(f"{path}{ending}") for ending in ("", ".html", ".dossr"))


def _first(form: Form, name: str) -> str:
    return next(iter(form.get(name, ())), "").strip()
