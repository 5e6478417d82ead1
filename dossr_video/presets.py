"""Options by name: the files of configs/presets, or a user's own in the same form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dossr_video.errors import SettingsError

_PACKAGE = Path(__file__).parent
# Inside the wheel the folder lies in the package; in a checkout it lies beside it.
CONFIGS = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())


def preset_names() -> list[str]:
    return sorted(path.stem for path in (CONFIGS / "presets").glob("*.yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """Options of a shipped preset or of a YAML file; their values are checked by Settings.

    Raises SettingsError when there is no such preset or the file is not a mapping of options.
    """
    path = CONFIGS / "presets" / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"--preset {name} is neither a shipped preset nor a file that can be read",
            hint=f"shipped: {', '.join(preset_names())}; or give the path of a YAML file of options",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML", hint="write one `option: value` a line") from error
    if not isinstance(options, dict):
        raise SettingsError(f"{path} holds no mapping of options", hint="write one `option: value` a line")
    return options
