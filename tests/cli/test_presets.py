"""`dossr-video presets`, and which of several values of an option wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import SettingsError
from dossr_video.presets import load_preset


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("DOSSR_VIDEO_CONFIG_DIR", str(folder))
    return folder


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_presets_are_listed_with_what_they_are_for(config: Path) -> None:
    assert "vhs             VHS, S-VHS" in run("presets")
    assert str(config / "presets") in run("presets")


def test_one_that_cannot_be_used_is_listed_with_the_reason_and_the_others_too(config: Path) -> None:
    folder = config / "presets"
    (folder / "folder.yaml").mkdir(parents=True)
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    (folder / "broken.yaml").write_text("crf: [1")
    (folder / "high.yaml").write_text("crf: 99")
    (folder / "good.yaml").write_text("crf: 9\nabout: fine")
    lines = {line.split()[0]: line for line in run("presets").splitlines() if line}
    for name, reason in {
        "folder": "--preset folder is neither",
        "loop": "loop.yaml cannot be a file: Too many levels of symbolic links",
        "broken": "broken.yaml is not YAML",
        "high": f"{folder / 'high.yaml'}: --crf 99 must be less than or equal to 63",
    }.items():
        assert f"cannot be used: {reason}" in lines[name].replace(f"{folder}/loop", "loop").replace(
            f"{folder}/broken", "broken"
        )
    assert lines["good"].endswith("fine")
    assert "vhs" in lines


def test_a_bad_value_is_named_with_its_file(config: Path) -> None:
    (config / "config.yaml").write_text("ccrf: 5")
    error = CliRunner().invoke(app, ["probe", "in.mp4"]).exception
    assert isinstance(error, SettingsError)
    assert error.message == f"{config / 'config.yaml'}: --ccrf is not an option"


def test_an_empty_name_is_no_preset(config: Path) -> None:
    error = CliRunner().invoke(app, ["probe", "in.mp4", "--preset", ""]).exception
    assert "--preset '' is neither a preset" in str(error)


def test_a_preset_is_shown_with_a_reason_for_each_value() -> None:
    shown = run("presets", "show", "vhs")
    assert "--deinterlace field  tape is interlaced" in shown
    assert "--square-pixels yes" in shown


def test_the_options_of_the_command_line_are_saved(config: Path) -> None:
    assert "--preset mine" in run("presets", "save", "mine", "--about", "tapes", "--preset", "vhs", "--scale", "3")
    assert load_preset("mine")["scale"] == 3
    assert load_preset("mine")["deinterlace"] == "field"
    assert "mine            tapes" in run("presets")


def test_the_later_of_config_file_environment_preset_and_option_wins(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(*options: str) -> dict[str, object]:
        run("presets", "save", "probe", "--force", *options)
        return load_preset("probe")

    (config / "config.yaml").write_text("crf: 11\nscale: 3\n")
    assert saved() == {"crf": 11.0, "scale": 3}
    monkeypatch.setenv("DOSSR_VIDEO_CRF", "12")
    assert saved() == {"crf": 12.0, "scale": 3}
    assert saved("--preset", "web")["crf"] == 24
    assert saved("--preset", "web", "--crf", "9")["crf"] == 9
    assert saved("--preset", "vhs")["scale"] == 2
