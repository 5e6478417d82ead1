"""The list of packages that CI installs, held against the dependencies of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def test_the_list_has_a_version_and_a_hash_of_every_dependency() -> None:
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [Requirement(line) for line in (*project["dependencies"], *extras["test"])]
    tested = next(requirement for requirement in named if requirement.name == "dossr-video").extras
    named += [Requirement(line) for extra in sorted(tested) for line in extras[extra]]
    wanted = [requirement for requirement in named if requirement.name not in ("torch", "dossr-video")]
    listed: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text()):
        if found := re.match(r"([\w.-]+)==(\S+)(?: ;[^\\]*)? \\\n    --hash=sha256:", entry):
            listed.setdefault(found[1], []).append(found[2])
    missing = [
        str(requirement)
        for requirement in wanted
        if not any(requirement.specifier.contains(version) for version in listed.get(requirement.name.lower(), []))
    ]
    assert not missing, "`make lock` makes requirements.lock anew"
