"""Presets: options by name, each with the reason for its value. Shipped ones, the user's own, and the config file.

A preset is a YAML file of options, `option: value`, or with a reason `option: {value: ..., why: ...}`; the key `about`
says in one line what it is for. A user's presets lie in the folder `presets` beside the config file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_config_path

from dossr_video.errors import SettingsError, TargetError
from dossr_video.names import meant, possible
from dossr_video.settings import Settings

_PACKAGE = Path(__file__).parent
LARGEST = 1 << 20  # bytes of a preset
LONGEST_NAME = 100  # characters
# Inside the wheel the folder lies in the package; in a checkout it lies beside it.
CONFIGS = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())


@dataclass(frozen=True)
class Preset:
    """A named set of options."""

    name: str
    about: str = ""  # one line: what it is for
    options: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)  # of some or all of the options


def user_folder() -> Path:
    """The folder of the user's config.yaml and presets; DOSSR_VIDEO_CONFIG_DIR names another."""
    named = os.environ.get("DOSSR_VIDEO_CONFIG_DIR")
    return Path(named) if named else user_config_path("dossr-video", appauthor=False)


def preset_names() -> list[str]:
    """The shipped presets and the user's own."""
    folders = (CONFIGS / "presets", user_folder() / "presets")
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def read_preset(name: str) -> Preset:
    """A preset by name, the user's own before the shipped one, or from a YAML file by its path.

    Raises SettingsError when there is none, the file is not a mapping of options, or a value does not fit.
    """
    places = (user_folder() / "presets" / f"{name}.yaml", CONFIGS / "presets" / f"{name}.yaml", Path(name))
    for path in map(possible, places):
        if path.is_file():
            return _read(path, path.stem)
    names = preset_names()
    raise SettingsError(
        f"--preset {name or repr(name)} is neither a preset nor a file that can be read",
        hint=f"{meant(name, names)}presets: {', '.join(names)}; or give the path of a YAML file of options",
    )


def load_preset(name: str) -> dict[str, Any]:
    """The options of `read_preset`."""
    return dict(read_preset(name).options)


def load_config() -> dict[str, Any]:
    """The options of the user's config.yaml; none when there is no such file. Raises SettingsError."""
    path = user_folder() / "config.yaml"
    return dict(_read(path, "config").options) if path.is_file() else {}


def save_preset(preset: Preset, *, force: bool = False) -> Path:
    """Write a preset into the user's folder; the path.

    Raises SettingsError for a name that is no file name, or no options; TargetError for a name that exists or cannot be
    written.
    """
    name = preset.name
    plain = (
        0 < len(name) <= LONGEST_NAME and Path(name).name == name and not name.startswith(".") and name.isprintable()
    )
    if not plain:
        raise SettingsError(
            f"preset name {name[:LONGEST_NAME]!r} must be a plain name of at most {LONGEST_NAME} characters",
            hint="for example: my-tapes",
        )
    if not preset.options:
        raise SettingsError(f"no option is given for the preset {name}", hint="for example --crf 18")
    if (CONFIGS / "presets" / f"{name}.yaml").exists() and not force:
        raise TargetError(
            f"{name} is a preset of the package, which one of yours would stand before",
            hint="choose another name, or add --force",
        )
    path = user_folder() / "presets" / f"{preset.name}.yaml"
    if path.exists() and not force:
        raise TargetError(f"{path} exists", hint="choose another name, or overwrite it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"about": preset.about, **preset.options}, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise TargetError(
            f"{path} cannot be written: {error.strerror}", hint="check the folder's permissions"
        ) from error
    return path


def _read(path: Path, name: str) -> Preset:
    try:
        if path.stat().st_size > LARGEST:
            raise SettingsError(f"{path} is too large for a file of options", hint="write one `option: value` a line")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of text, dates and long numbers
        raise SettingsError(f"{path} is not YAML", hint="write one `option: value` a line") from error
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{path} holds no mapping of options", hint="write one `option: value` a line")
    about = content.pop("about", "")
    about = "" if isinstance(about, (dict, list, set, tuple)) else str(about)
    options, reasons = {}, {}
    for option, entry in content.items():
        key = option.replace("-", "_")
        if isinstance(entry, dict) and set(entry) <= {"value", "why"} and "value" in entry:
            options[key] = entry["value"]
            why = entry.get("why", "")
            reasons[key] = why if isinstance(why, str) else ""
        else:
            options[key] = entry
        if isinstance(options[key], (dict, list, set, tuple)):
            raise SettingsError(f"{path}: {option} must be a single value", hint="write `option: value`")
    try:
        Settings.of(options)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", hint=error.hint) from error
    return Preset(name, about, options, reasons)
