#!/usr/bin/env python3
"""Write docs/OPTIONS.md: every option, its default and its limits, and every preset, from the tables of the program.

write_options.py [FILE]
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from dossr_video.presets import CONFIGS, read_preset
from dossr_video.settings import GROUPS

PAGE = Path(__file__).parent.parent / "docs" / "OPTIONS.md"


def values(annotation: Any) -> str:
    """What an option takes, in words."""
    members = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{member}`" for member in members)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return values(members[0])
    if typing.get_origin(annotation) is typing.Annotated:
        return values(members[0])
    return {bool: "on or off", int: "whole number", float: "number", tuple[str, ...]: "file"}.get(annotation, "text")


def limits(field: FieldInfo) -> str:
    names = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    found = [(words, getattr(limit, name, None)) for limit in field.metadata for name, words in names.items()]
    return ", ".join(f"{words} {limit:g}" for words, limit in found if limit is not None and abs(limit) < 1e15)


def word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"`{value}`"


def page() -> str:
    lines = [
        "# Options",
        "",
        "Made by `scripts/write_options.py` from the tables of the program. Each option can be given on the command",
        "line, as an environment variable (`--crf` is `DOSSR_VIDEO_CRF`), in a preset, in `config.yaml` of the user's",
        "folder (`dossr-video presets` prints where that is), and in Python as a keyword. The command line wins over",
        "the preset, the preset over the environment, the environment over the file.",
    ]
    for group in GROUPS:
        lines += [
            "",
            f"## {(group.__doc__ or '').strip()}",
            "",
            "| option | takes | default | |",
            "| --- | --- | --- | --- |",
        ]
        for name, field in group.model_fields.items():
            takes = "; ".join(part for part in (values(field.annotation), limits(field)) if part)
            default = "" if field.default in (None, ()) else word(field.default)
            lines.append(f"| `--{name.replace('_', '-')}` | {takes} | {default} | {field.description} |")
    lines += [
        "",
        "## Presets",
        "",
        "`--preset NAME` sets these; `dossr-video presets save NAME` keeps options of your own.",
    ]
    for path in sorted((CONFIGS / "presets").glob("*.yaml")):
        preset = read_preset(path.stem)
        lines += ["", f"**{preset.name}**: {preset.about}", "", "| option | value | why |", "| --- | --- | --- |"]
        for option, value in preset.options.items():
            lines.append(f"| `--{option.replace('_', '-')}` | {word(value)} | {preset.reasons.get(option, '')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="utf-8")
