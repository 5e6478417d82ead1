"""Imports go downwards, and each heavy library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dossr_video"

# A room (a folder, or a file at the top) may import itself, the rooms its row names, and what everyone may.
EVERYONE = {"frames", "errors", "settings"}
VIDEO = {"video", "video.read", "video.write", "video.mux", "video.inspect"}
ALLOWED = {
    "errors": set(),
    "frames": set(),
    "settings": set(),
    "heap": set(),
    "segments": set(),
    "presets": set(),
    "diffusion": set(),
    "color": set(),
    "temporal": {"diffusion"},
    "models": {"models.compact", "models.dossr", "temporal", "diffusion"},
    "models.compact": {"models", "temporal"},
    "models.dossr": {"models", "temporal", "diffusion"},
    "video": {"heap"},
    "video.read": {"heap", "video"},
    "video.write": {"video", "video.read"},
    "video.mux": {"heap", "video", "video.read", "video.write"},
    "video.inspect": {"temporal", "video", "video.read", "video.write", "video.mux"},
    "pipeline": {"color", "diffusion", "models", "segments", "temporal", "video.read", "video.write"},
    "jobs.execute": {"heap", "jobs", "models", "segments", "pipeline", "video.inspect", "video.read", "video.write"},
    "jobs": {"heap", "jobs.execute", "segments", "temporal"} | VIDEO,
    "library": {"jobs", "jobs.execute"} | VIDEO,
    "report": {"jobs", "temporal", "video", "video.inspect", "video.read"},
    "quality": {"temporal", "video.write"},
    "training": {"color", "diffusion", "models.compact", "models.dossr", "temporal", "quality", "video.write"},
    "api": {"jobs", "models", "pipeline", "temporal"},
    "cli": {"heap", "jobs", "jobs.execute", "library", "models", "models.dossr", "presets", "report", "temporal"}
    | {"video.inspect", "video.read"},
    "__init__": {"api"},
    "__main__": {"cli"},
}
HOMES = {
    "diffusers": {"models.dossr", "training"},
    "transformers": {"models.dossr"},
    "av": VIDEO | {"training", "quality"},
    "decord": {"video.read"},
    "ray": {"jobs.execute"},
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"report"},
    "matplotlib": {"report"},
}


def room_of(module: str) -> str:
    """The room of a module's dotted name below the package: its folder, or itself at the top."""
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        if PACKAGE.joinpath(*parts[:depth]).is_dir():
            return ".".join(parts[:depth])
    return parts[0]


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts)), path


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
                if PACKAGE.joinpath(*node.module.split(".")[1:]).is_dir() and node.module.startswith("dossr_video")
                else {node.module}
            )
    return names


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_imports_go_downwards(layer: str, path: Path) -> None:
    own = {room_of(name.removeprefix("dossr_video.")) for name in imports(path) if name.startswith("dossr_video.")}
    assert own <= ALLOWED[layer] | EVERYONE | {layer}


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_heavy_libraries_have_one_home(layer: str, path: Path) -> None:
    for name in imports(path):
        assert layer in HOMES.get(name.split(".")[0], {layer}), name


def test_ray_is_imported_in_one_file() -> None:
    using = {path.name for _, path in MODULES if any(name.split(".")[0] == "ray" for name in imports(path))}
    assert using <= {"ray.py"}
