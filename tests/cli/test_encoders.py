"""`dossr-video encoders`: what it lists is what is there."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import SettingsError
from dossr_video.video.write.encoders import ENCODERS, check_options, encoder_named, encoder_names


def listed(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["encoders", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.output)
    return found


def test_all_encoders_are_listed_with_formats_and_containers() -> None:
    found = {str(info["name"]): info for info in listed()}
    assert set(ENCODERS) & set(encoder_names()) <= set(found)
    assert found["prores_ks"]["containers"] == [".mov", ".mkv", ".mxf"]
    assert "yuv422p10le" in found["prores_ks"]["formats"]  # type: ignore[operator]
    assert found["exr"]["containers"] == [".exr"]
    assert "h264" not in found  # the codec, whose encoder is libx264
    hardware = [info for info in found.values() if info["hardware"]]
    assert all(str(info["name"]).split("_")[-1] in HARDWARE for info in hardware)
    for name in found:
        encoder_named(name)


HARDWARE = ("amf", "nvenc", "qsv", "mf", "v4l2m2m", "videotoolbox", "vaapi", "vulkan", "mediacodec")


def test_people_get_a_table() -> None:
    result = CliRunner().invoke(app, ["encoders"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "libsvtav1" in result.output
    assert "With settings chosen here" in result.output


def test_the_options_of_one_encoder() -> None:
    profile = next(option for option in listed("prores_ks") if option["name"] == "profile")
    assert {"proxy", "lt", "hq", "4444"} <= set(profile["choices"])  # type: ignore[call-overload]
    check_options("prores_ks", "profile=lt,bits_per_mb=400")
    with pytest.raises(SettingsError, match="no video encoder 'h265'"):
        encoder_named("h265")
    error = CliRunner().invoke(app, ["encoders", "nothing"]).exception
    assert isinstance(error, SettingsError)
