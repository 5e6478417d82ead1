from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dossr_video.cli import ui
from dossr_video.cli.commands import app
from dossr_video.errors import SettingsError
from dossr_video.ui.guard import session_secret


def test_without_the_extra_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ui, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs starlette and uvicorn") as told:
        CliRunner().invoke(app, ["ui", str(tmp_path)], standalone_mode=False, catch_exceptions=False)
    assert told.value.hint == 'install them: pip install "dossr-video[ui]"'


def test_the_other_commands_do_not_load_it_and_it_does_not_load_torch() -> None:
    code = (
        "import sys, dossr_video.cli.commands\n"
        "assert 'starlette' not in sys.modules and 'jinja2' not in sys.modules\n"
        "import dossr_video.ui.server\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_secret_that_a_power_cut_left_empty_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "session"
    path.touch()
    secret = session_secret(path)
    assert len(secret) > 40
    assert session_secret(path) == secret
