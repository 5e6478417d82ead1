from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dossr_video.errors import DossrError, SettingsError, TargetError
from dossr_video.models.registry import load_model
from dossr_video.presets import Preset, load_config, load_preset, preset_names, read_preset, save_preset
from dossr_video.preview import trials
from dossr_video.settings import GROUPS, Settings
from dossr_video.video.write.available import options_of_encoder
from dossr_video.video.write.encoders import encoder_named


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"chunk": 0}, "--chunk 0"),
        ({"crf": -1}, "--crf -1"),
        ({"steps": 0}, "--steps 0"),
        ({"steps": 501}, "--steps 501"),
        ({"device": "banana"}, "--device banana must be auto, cpu, mps, xpu, cuda or cuda:N"),
        ({"device": "cuda:x"}, "--device cuda:x"),
        ({"order": 4}, "--order 4"),
        ({"scale": 17}, "--scale 17 must be less than or equal to 16"),
        ({"duration": 0.0}, "--duration 0"),
        ({"blend_strength": 2}, "--blend-strength 2"),
        ({"seed": -1}, "--seed -1"),
        ({"native": 0.4}, "--native 0.4 must be auto, off or a number from 0.5 to 1"),
        ({"native": "half"}, "--native half must be auto, off or a number"),
        ({"grain": 2}, "--grain 2 must be keep, remove or a number from 0 to 1"),
        ({"dust": -1}, "--dust -1"),
        ({"strength": 1.5}, "--strength 1.5"),
        ({"color": "red"}, "--color is not an option"),
        ({"start": "1:90"}, "--start 1:90 must be seconds or h:mm:ss"),
        ({"start": "1:2:3:4"}, "--start 1:2:3:4"),
        ({"start": "-1"}, "--start -1"),
        ({"start": "inf"}, "--start inf"),
        ({"duration": float("inf")}, "--duration inf"),
        ({"start": 5, "end": 3}, "--end 3 must be after --start 5"),
        ({"end": 3, "duration": 3}, "--end and --duration were both given"),
        ({"size": "4k", "width": 300}, "--size and --width or --height were both given"),
        ({"size": "5k"}, "--size 5k must be '720p'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of(options)
    assert caught.value.message.startswith(named)
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.exit_code == 2


def test_every_setting_is_in_one_group_and_described() -> None:
    names = [name for group in GROUPS for name in group.model_fields]
    assert sorted(names) == sorted(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", preset_names())
def test_shipped_presets_are_valid(name: str) -> None:
    preset, defaults = read_preset(name), Settings().model_dump()
    settings = Settings.of(load_preset(name)).model_dump()
    assert preset.about
    assert preset.options
    for option in preset.options:
        assert preset.reasons[option], option
        assert settings[option] != defaults[option], f"{option} is the default already"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"a: [", "is not YAML"), (b"- 1", "holds no mapping"), (b"\xff\xfe", "is not YAML")]
)
def test_a_damaged_preset_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason):
        load_preset(str(path))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda: Settings.of({"sclae": 2}), "did you mean scale? "),
        (lambda: load_preset("vsh"), "did you mean vhs? "),
        (lambda: load_model("compactt"), "did you mean compact? "),
        (lambda: options_of_encoder("x264"), "did you mean libx264"),
        (lambda: encoder_named("x264"), "did you mean libx264"),
        (lambda: trials(Settings(), {"modle": ["large"]}), "did you mean model? "),
    ],
)
def test_a_mistyped_name_gets_the_nearest(wrong: Callable[[], object], hint: str) -> None:
    with pytest.raises(DossrError) as caught:
        wrong()
    assert caught.value.hint.startswith(hint)


def test_an_unknown_preset_names_the_shipped_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        load_preset("nonesuch")
    assert "archive-master" in caught.value.hint


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of configuration, empty."""
    monkeypatch.setenv("DOSSR_VIDEO_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_a_saved_preset_is_found_by_its_name_and_not_overwritten(config: Path) -> None:
    mine = Preset("my-tapes", "tapes of mine", {"scale": 2, "crf": 12.0})
    path = save_preset(mine)
    assert path.parent == config / "presets"
    assert read_preset("my-tapes") == mine
    assert "my-tapes" in preset_names()
    with pytest.raises(TargetError, match="exists"):
        save_preset(mine)
    save_preset(Preset("my-tapes", "", {"scale": 3}), force=True)
    assert load_preset("my-tapes") == {"scale": 3}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "two\nlines", "a" * 101])
def test_a_preset_needs_a_plain_name(config: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="must be a plain name"):
        save_preset(Preset(name, "", {"crf": 18}))
    assert not config.exists()


def test_a_preset_holds_something_and_hides_none_of_the_package_unasked(config: Path) -> None:
    with pytest.raises(SettingsError, match="no option is given for the preset empty"):
        save_preset(Preset("empty"))
    with pytest.raises(TargetError, match="vhs is a preset of the package"):
        save_preset(Preset("vhs", "", {"crf": 18}))
    assert not config.exists()
    save_preset(Preset("vhs", "", {"crf": 18}), force=True)
    assert load_preset("vhs") == {"crf": 18}


def test_the_config_file_holds_options(config: Path) -> None:
    assert load_config() == {}
    config.mkdir()
    (config / "config.yaml").write_text("blend-strength: 0.5\ncrf: {value: 12, why: film}\n")
    assert load_config() == {"blend_strength": 0.5, "crf": 12}


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1:30", 90), ("1:02:03.5", 3723.5), (12.5, 12.5)])
def test_times_are_seconds_or_hours_minutes_and_seconds(text: Any, seconds: float) -> None:
    assert Settings.of({"start": text}).start == seconds


def test_an_end_is_a_duration_from_the_start() -> None:
    assert Settings.of({"start": 0.1, "end": 0.4}).length == 0.3
    assert Settings.of({"duration": 2}).length == 2
    assert Settings.of({}).length is None


def test_the_page_of_options_is_what_the_script_writes() -> None:
    root = Path(__file__).parents[1]
    script = runpy.run_path(str(root / "scripts" / "write_options.py"))
    assert (root / "docs" / "OPTIONS.md").read_text(encoding="utf-8") == script["page"](), (
        "run scripts/write_options.py"
    )


def _bomb(levels: int) -> str:
    """Each line is a list of the one before, twice; written out it would be 2 ** levels values."""
    lines = ["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels))]
    return "\n".join([*lines, f"native: *a{levels - 1}"])


@pytest.mark.parametrize(
    "text",
    [
        _bomb(60),
        "about: &a [1]\nnative: *a",
        "native: " + "[" * 1500,
        "native: {a: {b: 1}}",
        "1: 2",
        "crf: .inf",
        "crf: .nan",
        "cfg_scale: .inf",
        "start: 2024-99-99",
        "seed: " + "9" * 5000,
        "seed: 99999999999999999999999",
        "? [a, b]\n: 1",
        "scale: !!python/object:os.system x",
        "\x00",
        "native: &a {value: *a, why: x}",
    ],
)
def test_a_preset_made_to_do_harm_gets_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "preset.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.of(load_preset(str(path)))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_options_without_end_get_one_short_line(tmp_path: Path) -> None:
    nested: list[Any] = [1]
    for _ in range(60):
        nested = [nested, nested]
    for value in ("9" * 5000, nested, {"a": nested}):
        with pytest.raises(SettingsError) as caught:
            Settings.of({"scale": value})
        assert len(caught.value.message) < 200
    with pytest.raises(SettingsError, match="--1 is not an option"):
        Settings.of({1: 2})  # type: ignore[dict-item]
    (tmp_path / "large.yaml").write_text("about: " + "x" * (1 << 20))
    with pytest.raises(SettingsError, match="too large for a file of options"):
        load_preset(str(tmp_path / "large.yaml"))
