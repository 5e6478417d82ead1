"""Imports go downwards, and each heavy library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dossr_video"

# A room (a folder, or a file at the top) may import itself, the rooms its row names, and what everyone may.
EVERYONE = {"frames", "errors", "names", "option_values", "settings"}
VIDEO = {"video", "video.read", "video.write", "video.mux", "video.inspect"}
ALLOWED = {
    "errors": set(),
    "frames": set(),
    "names": set(),
    "option_values": set(),
    "arrays": set(),
    "settings": set(),
    "heap": set(),
    "transfer": set(),
    "threads": set(),
    "system": set(),
    "html": set(),
    "segments": set(),
    "presets": set(),
    "diffusion": set(),
    "color": set(),
    "temporal": {"diffusion"},
    "restoration": {"diffusion", "temporal"},
    "models": {"color", "threads", "models.compact", "models.dossr", "models.large", "temporal", "diffusion"},
    "models.compact": {"models", "temporal"},
    "models.large": {"models", "models.compact", "color", "diffusion", "temporal"},
    "models.dossr": {"models", "temporal", "diffusion", "transfer"},
    "video": {"heap", "system"},
    "video.read": {"heap", "video"},
    "video.write": {"video", "video.read"},
    "video.mux": {"heap", "video", "video.read", "video.write"},
    "video.inspect": {"restoration", "temporal", "video", "video.read", "video.write", "video.mux"},
    "runspec": {"models", "restoration", "video", "video.read", "video.write"},
    "pipeline": {
        "color",
        "diffusion",
        "models",
        "quality",
        "restoration",
        "runspec",
        "segments",
        "temporal",
        "transfer",
        "video",
        "video.mux",
        "video.read",
        "video.write",
    },
    # Of jobs it takes what knows nothing of executors; see BELOW_EXECUTORS.
    "jobs.execute": {"heap", "system", "jobs", "models", "pipeline", "runspec", "segments", "temporal"}
    | {"video", "video.read", "video.write"},
    "jobs": {
        "heap",
        "system",
        "threads",
        "jobs.execute",
        "models",
        "pipeline",
        "quality",
        "runspec",
        "segments",
        "temporal",
    }
    | VIDEO,
    "library": {"jobs", "jobs.execute", "quality", "report"} | VIDEO,
    "report": {"html", "jobs", "quality", "temporal", "video", "video.inspect", "video.read", "video.write"},
    "quality": {"segments", "temporal", "video.write"},
    "training": {"color", "diffusion", "models", "models.compact", "models.dossr", "models.large", "temporal"}
    | {"quality", "video.write"},
    "progress_bar": {"jobs"},
    "streaming": {"arrays", "jobs", "models", "pipeline", "restoration", "runspec", "temporal"},
    "random_access": {"arrays", "streaming", "temporal"},
    "api": {"arrays", "jobs.execute", "jobs", "models", "progress_bar", "streaming", "temporal"},
    "vapoursynth": {"api", "models", "random_access", "streaming"},
    "cli": {
        "heap",
        "threads",
        "jobs",
        "jobs.execute",
        "library",
        "models",
        "models.dossr",
        "presets",
        "preview",
        "report",
        "ui",
    }
    | {"doctor", "pipe", "progress_bar", "runspec", "system", "temporal", "video", "video.inspect", "video.read"}
    | {"video.write"},
    "ui": {"html", "system", "jobs", "library", "presets", "video", "video.write"},
    "preview": {"api", "jobs", "jobs.execute", "models", "report", "temporal", "video", "video.inspect", "video.read"},
    "diffusers": {"api", "models", "models.dossr"},
    "__init__": {"api", "diffusers", "jobs", "models.dossr"},
    "__main__": {"cli"},
    "pipe": {"api", "streaming", "video", "video.inspect"},
    "doctor": {"api", "jobs", "system", "video.read", "video.write"},
}
HOMES = {
    "diffusers": {"diffusers", "models.dossr", "training"},
    "transformers": set(),
    "tokenizers": {"models.dossr"},
    "av": VIDEO | {"training", "quality"},
    "spandrel": {"models"},
    "onnxruntime": {"models"},
    "ncnn": {"models"},
    "torchvision": {"models"},
    "decord": {"video.read"},
    "torchcodec": {"video.read"},
    "ray": {"jobs.execute"},
    "click": {"cli"},
    "rich_click": {"cli"},
    "psutil": {"system"},
    "fcntl": {"system"},
    "rich": {"cli", "progress_bar"},
    "jinja2": {"html", "ui"},
    "starlette": {"ui"},
    "uvicorn": {"ui"},
    "matplotlib": {"report"},
    "psycopg": {"library"},
}


# What the executors take of jobs: it must not import them.
BELOW_EXECUTORS = {"durable", "fingerprint", "scratch", "urls"}
# The users' doors; a file of options is one.
DOORS = {"api", "cli", "library", "pipe", "presets", "preview", "streaming", "ui", "vapoursynth", "__init__"}
# Where, beside them, options become a RunSpec; everything below gets that, or a group of options.
DECIDING = {"settings", "jobs.request", "jobs.resolve", "jobs.run", "video.inspect.processing"}


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


def _names_imported(path: Path) -> set[str]:
    """`package.module.name` of every `from ... import`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in found for alias in node.names}


def _modules_imported(path: Path) -> set[str]:
    """Dotted names of the package's own modules that one imports."""
    names = _names_imported(path) | imports(path)
    return {name for name in names if PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py").is_file()}


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_imports_go_downwards(layer: str, path: Path) -> None:
    own = {room_of(name.removeprefix("dossr_video.")) for name in imports(path) if name.startswith("dossr_video.")}
    assert own <= ALLOWED[layer] | EVERYONE | {layer}


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=lambda value: str(value).split("dossr_video/")[-1])
def test_heavy_libraries_have_one_home(layer: str, path: Path) -> None:
    for name in imports(path):
        assert layer in HOMES.get(name.split(".")[0], {layer}), name


def test_executors_import_only_what_knows_nothing_of_them() -> None:
    below = {f"dossr_video.jobs.{name}" for name in BELOW_EXECUTORS}
    for room, path in MODULES:
        own = {name for name in _modules_imported(path) if name.startswith("dossr_video.jobs.")}
        if room == "jobs.execute":
            assert {name for name in own if ".execute." not in name} <= below, path
        if room == "jobs" and path.stem in BELOW_EXECUTORS:
            assert own <= below, path


def test_only_those_who_decide_see_the_settings() -> None:
    for room, path in MODULES:
        if "dossr_video.settings.Settings" in _names_imported(path):
            module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            assert room in DOORS or module in DECIDING, module


def test_ray_is_imported_in_one_file() -> None:
    using = {path.name for _, path in MODULES if any(name.split(".")[0] == "ray" for name in imports(path))}
    assert using <= {"ray.py"}
