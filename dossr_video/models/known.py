"""Names of models, before one is loaded: what there is, and how several are joined."""

from __future__ import annotations

from pathlib import Path

from dossr_video.errors import ModelError, SettingsError
from dossr_video.names import meant, possible
from dossr_video.settings import MODELS

JOINED = "+"  # between the names of the models


def parts_of(name: str) -> list[str]:
    """The models that a name joins; one where a file has that name."""
    return [name] if Path(name).exists() else name.split(JOINED)


def require_known(name: str) -> None:
    """ModelError where a model is neither one of the package nor a file, SettingsError where it has no name."""
    possible(Path(name))
    if not name or not all(parts_of(name)):
        raise SettingsError(f"model {name!r} is no name and no path", hint="for example compact, or first.pth+compact")
    for part in parts_of(name):
        if part not in MODELS and not possible(Path(part)).exists():
            raise ModelError(
                f"there is no model {part!r}: neither a file nor one of {', '.join(MODELS)}",
                hint=f"{meant(part, MODELS)}use --model compact, or give the path of a DoSSR checkpoint (from the "
                "release page of the authors' GitHub project DoSSR, arXiv 2409.17778) or of another super-resolution "
                "network",
            )
