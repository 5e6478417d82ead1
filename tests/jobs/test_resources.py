from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from dossr_video.errors import TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.resources import least_bytes, require_space, write_errors
from dossr_video.video.info import HdrInfo
from dossr_video.video.tags import ColorInfo
from dossr_video.video.write.encoders import EncoderSettings
from dossr_video.video.write.spec import VideoSpec


def test_space_that_is_not_there_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path, free // 2, what="the job")
    with pytest.raises(TargetError, match=r"the job needs about 1000000\.0 TB more in .*; .* are free"):
        require_space(tmp_path, 10**18, what="the job")


def test_lossless_results_are_known_to_be_large() -> None:
    def least(encoder: str) -> int:
        encoding = EncoderSettings(encoder, "yuv420p", None, None)
        color, hdr = ColorInfo(), HdrInfo()
        video = VideoSpec(1920, 1080, Fraction(1, 25), Fraction(25), encoding, color, hdr, None, None)
        return least_bytes(video, 1000)

    assert least("ffv1") == 1920 * 1080 * 1000 * 2 // 8
    assert least("libx264") < least("prores_ks") / 50


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be written: No such file or directory"), write_errors(tmp_path):
        (tmp_path / "absent" / "file").write_bytes(b"")


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(TargetError, match="there is in the way: Is a directory") as refusal, write_errors(tmp_path):
        durable.write(tmp_path / "there", b"")
    assert refusal.value.hint.startswith("move it away")


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_errors(tmp_path / "elsewhere"):
        (tmp_path / "absent" / "file").write_bytes(b"")
