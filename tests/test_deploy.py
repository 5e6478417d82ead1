"""Containers, the conda recipe and the Kubernetes example: what can be known of them without building any."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from dossr_video.cli.commands import app
from dossr_video.presets import preset_names

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CONDA = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base"}
"""Names of conda where they are not PyPI's."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_recipe_is_the_project(project: dict[str, Any]) -> None:
    recipe = yaml.safe_load((DEPLOY / "conda" / "recipe.yaml").read_text())
    assert recipe["context"]["version"] == project["version"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    given = [Requirement(line) for line in recipe["requirements"]["run"]]
    assert {(CONDA.get(one.name, one.name), one.specifier) for one in wanted} == {
        (one.name, one.specifier) for one in given if one.name != "python"
    }
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"dossr-video = {project['scripts']['dossr-video']}"
    assert recipe["about"]["license_file"] == project["license-files"]


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_images_install_extras_that_there_are(name: str, project: dict[str, Any]) -> None:
    lines = (DEPLOY / f"{name}.Dockerfile").read_text()
    extras = re.search(r'"/src\[([\w,]+)\]"', lines)
    assert extras is not None
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()
    assert 'ENTRYPOINT ["dossr-video"]' in lines
    assert "USER 65534" in lines  # not root


def test_the_cluster_runs_a_command_that_there_is() -> None:
    job = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, command, _, _, *options = shlex.split(job["spec"]["entrypoint"])
    assert program == "dossr-video"
    known = {option for parameter in app.commands[command].params for option in parameter.opts}
    assert {word for word in options if word.startswith("--")} <= known
    assert options[options.index("--preset") + 1] in preset_names()
    cluster = job["spec"]["rayClusterSpec"]
    assert f"ARG RAY={cluster['rayVersion']}" in (DEPLOY / "cuda.Dockerfile").read_text()
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in spec["volumes"]]
    assert [
        "nvidia.com/gpu" in group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in groups
    ] == [False, True]
