from __future__ import annotations

from pathlib import Path

import pytest

from dossr_video.errors import SettingsError, TargetError
from dossr_video.settings import Settings
from dossr_video.ui.form import CHOICES, TRIES, options_of, preview_options, target_of

FILM = Path("/films/old tape.avi")


def test_what_is_chosen_is_what_the_command_gets() -> None:
    form = {"preset": ["vhs"], "size": ["3"], "deflicker": ["no"], "start": [" 1:30 "], "model": [""], "other": ["x"]}
    assert options_of(form) == ("--preset=vhs", "--scale=3", "--no-deflicker", "--start=1:30")
    assert options_of({"size": ["1080p"], "qc": ["yes"]}) == ("--size=1080p", "--qc")
    assert options_of({}) == ()


def test_every_value_that_is_offered_fits() -> None:
    for choice in CHOICES:
        for value, words in choice.values:
            assert words
            options_of({choice.name: [value]})
    for choice in TRIES:
        for value, _ in choice.values:
            Settings.of({choice.name: value})


def test_a_preview_has_its_moments_and_ways_and_the_whole_file() -> None:
    form = {"start": ["10"], "moments": ["0:05, 1:20"], "try-blend": ["pixel", "off"], "grain": ["keep"]}
    assert preview_options(form) == ("--grain=keep", "--at=0:05", "--at=1:20", "--try=blend=pixel,off")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "old tape_restored.mkv"),
        ({"preset": ["editing"]}, "old tape_restored.mov"),
        ({"preset": ["archive-master"]}, "old tape_restored.mkv"),
        ({"format": [".mp4"]}, "old tape_restored.mp4"),
        ({"name": ["new"]}, "new.mkv"),
        ({"name": ["new.mkv"], "format": [".mp4"]}, "new.mkv.mp4"),
    ],
)
def test_the_result_has_a_format_that_takes_it(form: dict[str, list[str]], name: str, tmp_path: Path) -> None:
    assert target_of(form, FILM, tmp_path, taken=()) == tmp_path / name


def test_a_name_that_is_taken_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "old tape_restored.mkv").touch()
    (tmp_path / "old tape_restored_2.mkv.dossr").mkdir()
    (tmp_path / "old tape_restored_3.mkv.html").touch()
    waiting = {tmp_path / "old tape_restored_4.mkv"}
    assert target_of({}, FILM, tmp_path, taken=waiting) == tmp_path / "old tape_restored_5.mkv"


def test_numbered_pictures_give_their_result_a_name(tmp_path: Path) -> None:
    for name, stem in (("scan_%06d.dpx", "scan"), ("%06d.dpx", "reel 1")):
        target = target_of({}, tmp_path / "reel 1" / name, tmp_path, taken=())
        assert target == tmp_path / f"{stem}_restored.mkv"
    assert options_of({"fps": ["18"]}) == ("--fps=18",)


def test_what_is_no_name_and_no_choice_is_refused(tmp_path: Path) -> None:
    for name in ("../out", "a/b", ".hidden", "x" * 201):
        with pytest.raises(TargetError):
            target_of({"name": [name]}, FILM, tmp_path, taken=())
    for form in ({"model": ["/etc/passwd"]}, {"preset": ["/etc/passwd"]}, {"end": ["0"]}, {"try-grain": ["x"]}):
        with pytest.raises(SettingsError):
            preview_options(form) if "try-grain" in form else options_of(form)
