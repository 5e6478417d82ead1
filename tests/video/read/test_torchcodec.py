"""torchcodec: refused where it would break the contract of test_reader_contract.py, and where it is not there."""

from __future__ import annotations

import sys

import pytest

from dossr_video.errors import SettingsError, SourceError
from dossr_video.settings import Settings
from dossr_video.video.read.torchcodec import TorchcodecReader


@pytest.mark.parametrize("name", ["plain.ts", "hdr10.mp4", "editlist.mp4", "rotated.mp4"])
def test_refused_where_it_is_not_exact(media, name):
    with pytest.raises(SourceError, match=r"torchcodec does not read .* exactly"):
        TorchcodecReader(media(name))


def test_says_how_to_get_it_where_it_is_missing(media, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(SourceError, match="torchcodec is not installed, or does not load") as caught:
        TorchcodecReader(media("plain.mp4"))
    assert "dossr-video[torchcodec]" in caught.value.hint


def test_decodes_by_itself():
    with pytest.raises(SettingsError, match="--hwaccel and --reader torchcodec were both given"):
        Settings(reader="torchcodec", hwaccel="auto")
