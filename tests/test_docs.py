"""What the guide shows works: its Python runs, its commands have those options, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dossr_video.cli.commands import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language == kind]


def test_the_python_of_the_guide_runs(make_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", [10])
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for code in blocks(ROOT / "docs" / "python.md", "python"):
        exec(compile(code, "docs/python.md", "exec"), scope)
    assert (tmp_path / "two.mp4").exists()
    assert scope["report"].frames > 0  # type: ignore[attr-defined]


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for code in blocks(page, "sh"):
            yield from ((page.name, line) for line in code.splitlines() if line.startswith("dossr-video "))


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_the_commands_of_the_guide_have_these_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = app
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if command is app and words[0] != "--version":
        command = app.commands["upscale"]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= {*known, "--help", "--version"}, f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
