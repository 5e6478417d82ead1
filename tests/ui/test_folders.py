from __future__ import annotations

import os
from pathlib import Path

import pytest

from dossr_video.errors import SettingsError, SourceError
from dossr_video.ui.folders import Folders, OutsideError


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two folders; the second is given as a link."""
    for name in ("films", "tapes", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "tapes")
    return [tmp_path / "films", tmp_path / "link"]


def test_every_name_has_an_address_that_leads_back(roots: list[Path], tmp_path: Path) -> None:
    folders = Folders.of(roots)
    assert folders.roots == (tmp_path / "films", tmp_path / "tapes")
    for name in (b"a.mp4", b"caf\xe9 & 100%.mkv", b"two\nlines.mp4", "é ü/ß.mov".encode(), b"a..mp4", b"#?=.mp4"):
        for root in folders.roots:
            path = root / os.fsdecode(name)
            address = folders.address_of(path)
            assert address.isascii()
            assert folders.find(address) == path
    assert folders.find(folders.address_of(folders.roots[1])) == tmp_path / "tapes"


def test_links_between_the_folders_are_followed_and_others_are_not(roots: list[Path], tmp_path: Path) -> None:
    folders = Folders.of(roots)
    (tmp_path / "tapes" / "tape.mp4").touch()
    (tmp_path / "films" / "inside.mp4").symlink_to(tmp_path / "tapes" / "tape.mp4")
    (tmp_path / "films" / "outside.mp4").symlink_to(tmp_path / "other" / "x.mp4")
    (tmp_path / "films" / "loop.mp4").symlink_to("loop.mp4")
    assert folders.find("0/inside.mp4") == tmp_path / "tapes" / "tape.mp4"
    with pytest.raises(OutsideError):
        folders.find("0/outside.mp4")
    with pytest.raises(OutsideError):
        folders.address_of(tmp_path / "other" / "x.mp4")
    assert [path.name for path in folders.listing(folders.roots[0]).videos] == ["inside.mp4"]


def test_what_is_listed_can_be_chosen(roots: list[Path]) -> None:
    folders = Folders.of(roots)
    for name in ("b.MP4", "A.mkv", "notes.txt", ".hidden.mp4", "job.mp4.dossr/x", "inner/x", ".git/x"):
        path = folders.roots[0] / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    listing = folders.listing(folders.roots[0])
    assert [path.name for path in listing.videos] == ["A.mkv", "b.MP4"]
    assert [path.name for path in listing.folders] == ["inner"]


def test_a_name_that_no_file_can_have_is_refused(roots: list[Path]) -> None:
    with pytest.raises(SettingsError, match="cannot be a file: File name too long"):
        Folders.of(roots).find(f"0/{'x' * 300}")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "missing"):
        with pytest.raises(SourceError, match="is not a folder"):
            Folders.of([tmp_path / name])
    with pytest.raises(SourceError, match="cannot be read"):
        Folders.of([tmp_path]).listing(tmp_path / "missing")


def test_numbered_pictures_are_one_film(roots: list[Path], tmp_path: Path) -> None:
    folders = Folders.of(roots)
    for name in ("scan_0001.dpx", "scan_0002.dpx", "still_1.png", "still_2.png", "poster.png"):
        (folders.roots[0] / name).touch()
    scans = folders.listing(folders.roots[0]).scans
    assert [path.name for path in scans] == ["scan_%04d.dpx", "still_%d.png"]
    for path in scans:
        assert folders.find(folders.address_of(path)) == path
        assert folders.is_scan(path)
    assert not folders.is_scan(folders.roots[0] / "other_%d.png")
    (folders.roots[0] / "still_3.png").symlink_to(tmp_path / "other" / "x.png")
    assert [path.name for path in folders.listing(folders.roots[0]).scans] == ["scan_%04d.dpx"]
