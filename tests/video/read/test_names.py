"""Names that FFmpeg takes for protocols are files here, and nothing beside a file is read."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs.run import run_job
from dossr_video.video.read.probe import probe


@pytest.mark.parametrize("name", ["12:30 interview.mp4", "Film: part 2.mp4", "-x:.mp4", "a%03d.mp4", "pipe:0.mp4"])
@pytest.mark.parametrize("dot", ["", "./"])
def test_a_name_with_a_colon_is_a_file(clip, tiny, tmp_path, monkeypatch, name, dot):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, tmp_path / name)
    target = Path(f"{dot}out {name}")
    assert run_job(Path(dot + name), target, tiny).frames == 54
    assert probe(target).video.width == 64


def test_a_name_like_an_address_makes_no_request(clip, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        source = Path(f"http:127.0.0.1:{server.getsockname()[1]}.mp4")
        target = Path(f"http:127.0.0.1:{server.getsockname()[1]}.mkv")
        shutil.copy(clip, source)
        assert run_job(source, target, tiny).frames == 54
        with pytest.raises(TimeoutError):
            server.accept()
    assert probe(target).video.width == 64


def test_a_list_of_other_files_is_refused(clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'clip.mp4'\n")
    (tmp_path / "list2.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.mp4\n#EXT-X-ENDLIST\n")
    for name in ("list.mp4", "list2.mp4"):
        with pytest.raises(SourceError, match="is not a video"):
            probe(tmp_path / name)


def test_tags_cannot_control_a_terminal(media, tmp_path):
    evil = "\x1b]0;title\x07\x1b[31mred\x1b[2J\u202e"
    media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-metadata", f"title={evil}", "-metadata:s:a:0", f"title={evil}",
        "-attach", media("cover.png"), "-metadata:s:t", "mimetype=image/png", "-metadata:s:t", f"filename={evil}.png",
        tmp_path / "evil.mkv",
    )  # fmt: skip
    for options in ([], ["--json"]):
        command = [
            sys.executable,
            "-m",
            "dossr_video",
            "probe",
            tmp_path / "evil.mkv",
            tmp_path / "out.mkv",
            "--model",
            "bicubic",
            *options,
        ]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "[31mred" in out
        assert all(character.isprintable() for line in out.split("\n") for character in line)
