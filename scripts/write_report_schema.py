"""Writes docs/report.schema.json, the JSON Schema of reports: PYTHONPATH=. python scripts/write_report_schema.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dossr_video.jobs.report import FORMAT, Report

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"


def schema() -> str:
    content = _without_null(Report.model_json_schema(mode="serialization"))
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"dossr-video report, format {FORMAT}"}
    return json.dumps({**head, **{k: v for k, v in content.items() if k != "title"}}, indent=1) + "\n"


def _without_null(part: Any) -> Any:
    """What there is not is left out of a report, never null."""
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _without_null(value) for key, value in part.items()}
    for value in part.get("properties", {}).values():
        if isinstance(value, dict) and {"type": "null"} in value.get("anyOf", []):
            kinds = [kind for kind in value.pop("anyOf") if kind != {"type": "null"}]
            value.pop("default", None)
            value.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
    return part


if __name__ == "__main__":
    SCHEMA.write_text(schema())
