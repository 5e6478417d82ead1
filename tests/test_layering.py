"""Imports go downwards, and each heavy library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dossr_video"

# A layer may import itself, the layers its row names, and what everyone may.
EVERYONE = {"frames", "errors", "settings"}
ALLOWED = {
    "errors": set(),
    "frames": set(),
    "settings": {"errors"},
    "heap": set(),
    "segments": set(),
    "presets": set(),
    "options": {"jobs", "presets"},
    "console": {"jobs"},
    "diffusion": set(),
    "color": set(),
    "temporal": {"diffusion"},
    "models": {"temporal", "diffusion"},
    "video": {"heap", "temporal"},
    "upscaler": {"color", "diffusion", "models", "temporal"},
    "memory": {"models", "temporal"},
    "pipeline": {"memory", "models", "segments", "temporal", "upscaler", "video"},
    "jobs": {"heap", "memory", "models", "pipeline", "segments", "temporal", "video"},
    "report": {"video"},
    "quality": {"temporal", "video"},
    "training": {"color", "diffusion", "models", "temporal", "quality", "video"},
    "api": {"jobs", "memory", "models", "pipeline", "temporal"},
    "cli_library": {"console", "jobs", "options"},
    "cli": {"cli_library", "console", "heap", "jobs", "models", "options", "report", "temporal", "video"},
    "__init__": {"api"},
    "__main__": {"cli"},
}
HOMES = {
    "diffusers": {"models", "training"},
    "transformers": {"models"},
    "av": {"video", "training", "quality"},
    "decord": {"video"},
    "ray": {"jobs"},
    "click": {"cli", "cli_library", "options"},
    "rich": {"console", "cli_library"},
}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


MODULES = list(_modules())


def imports(path: Path) -> set[str]:
    """Dotted names of every import, those inside functions and behind TYPE_CHECKING included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "dossr_video"
                else {node.module}
            )
    return names


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_imports_go_downwards(layer: str, path: Path) -> None:
    own = {name.split(".")[1] for name in imports(path) if name.startswith("dossr_video.")}
    assert own <= ALLOWED[layer] | EVERYONE | {layer}


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_heavy_libraries_have_one_home(layer: str, path: Path) -> None:
    for name in imports(path):
        assert layer in HOMES.get(name.split(".")[0], {layer}), name


def test_ray_is_imported_in_one_file() -> None:
    using = {path.name for _, path in MODULES if any(name.split(".")[0] == "ray" for name in imports(path))}
    assert using <= {"ray.py"}
