"""Results of numbered pictures: read back bit by bit, numbered as the source, headers kept, nothing overwritten."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dossr_video.errors import Interrupted, ProofError, SettingsError, TargetError
from dossr_video.jobs import durable, naming
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.proving import verify
from dossr_video.jobs.report import Report, report_of
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.files import open_input
from dossr_video.video.read.dpx import header_of, read_header
from dossr_video.video.read.probe import probe, probe_streams
from dossr_video.video.sequence import pictures_of

COUNT = 6


@pytest.fixture(scope="module")
def film(media: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RGB of 16 bits with PCM sound and a timecode."""
    path = tmp_path_factory.mktemp("film") / "film.mov"
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=48x32:r=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-frames:v", COUNT,
        "-shortest", "-timecode", "01:00:00:20", "-c:v", "png", "-pix_fmt", "rgb48be", "-c:a", "pcm_s24le", path,
    )  # fmt: skip
    return path


@pytest.fixture
def scans(media: Any, tmp_path: Path) -> Path:
    """DPX of 10 bits, little-endian, with all parts of the header filled in and numbered from 86400 on."""
    folder = tmp_path / "scans"
    folder.mkdir()
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=48x32:r=24", "-frames:v", COUNT, "-pix_fmt", "gbrp10le",
        "-start_number", 86400, folder / "scan_%06d.dpx",
    )  # fmt: skip
    for number, file in pictures_of(folder / "scan_%06d.dpx").items():
        data = bytearray(file.read_bytes())
        assert data[:4] == b"XPDS"
        data[160:170], data[1556:1560] = b"Laboratory", b"Scan"
        film = bytearray(b"\xff" * 384)
        film[0:4], film[100:103] = b"KJ12", b"12A"
        struct.pack_into("<5I", film, 48, number, 200000, 1, 0, 0)
        struct.pack_into("<2f", film, 60, 24.0, 180.0)
        struct.pack_into("<I", film, 256, int(f"01000{number // 24 % 60:01d}{number % 24:02d}"[:8].ljust(8, "0"), 16))
        struct.pack_into("<f", film, 276, 24.0)
        film += b"user data of the scanner"
        data[1664:1664] = film
        for offset in (4, 808):
            struct.pack_into("<I", data, offset, 1664 + len(film))
        file.write_bytes(data)
    return folder / "scan_%06d.dpx"


@pytest.fixture
def tiny(tiny: Settings) -> Settings:
    """Pictures have no presets."""
    return tiny.model_copy(update={"speed": None})


def pixels_of(path: Path, *, first: int = 1) -> bytes:
    """What FFmpeg reads, as RGB of 16 bits."""
    start = ["-start_number", str(first)] if "%" in path.name else []
    command = ["ffmpeg", "-v", "error", *start, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gbrp16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "pix_fmt"),
    [
        ("o_%06d.png", None),
        ("o_%06d.tif", None),
        ("o_%d.dpx", None),
        ("o%04d.jp2", None),
        ("o%04d.j2k", "gbrp16le"),
        ("o_%06d.tiff", "rgba64le"),
    ],
)
def test_every_sample_is_what_a_lossless_film_holds(
    name: str, pix_fmt: str | None, film: Path, tmp_path: Path, tiny: Settings
) -> None:
    run_job(film, tmp_path / "film.mkv", tiny.model_copy(update={"encoder": "ffv1", "pix_fmt": "gbrp16le"}))
    report = run_job(film, tmp_path / name, tiny.model_copy(update={"pix_fmt": pix_fmt}))
    assert report.proof.passed
    assert report.target.path == str(tmp_path / name)
    numbers = pictures_of(tmp_path / name)
    assert list(numbers) == list(range(1, COUNT + 1))
    assert pixels_of(tmp_path / name) == pixels_of(tmp_path / "film.mkv")
    assert {path.name for path in tmp_path.iterdir()} == {"film.mkv", "o.mka"} | {p.name for p in numbers.values()}


@pytest.mark.parametrize(("pix_fmt", "planar"), [(None, "gbrp10le"), ("rgb24", "bgr0"), ("gbrp12be", "gbrp12le")])
def test_dpx_of_eight_to_twelve_bits(
    pix_fmt: str | None, planar: str, sample: Path, tmp_path: Path, tiny: Settings
) -> None:
    part = tiny.model_copy(update={"pix_fmt": pix_fmt, "duration": 0.1})
    run_job(sample, tmp_path / "o_%06d.dpx", part)
    run_job(sample, tmp_path / "o.mkv", part.model_copy(update={"encoder": "ffv1", "pix_fmt": planar}))
    assert pixels_of(tmp_path / "o_%06d.dpx") == pixels_of(tmp_path / "o.mkv")


@pytest.mark.parametrize("suffix", ["tif", "dpx", "png", "exr"])
def test_grey_stays_grey_and_as_light(suffix: str, media: Any, tmp_path: Path, tiny: Settings) -> None:
    media.ffmpeg(
        "-f", "lavfi", "-i", "color=gray:s=64x32", "-vf", "format=gray16le,geq=lum='X*1000'", "-frames:v", 2,
        tmp_path / "scan_%d.tif",
    )  # fmt: skip
    report = run_job(
        tmp_path / "scan_%d.tif", tmp_path / f"o_%d.{suffix}", tiny.model_copy(update={"fps": "24", "strength": 0.0})
    )
    assert "gray" in report.settings.video.encoding.pix_fmt
    with open_input(tmp_path / f"o_%d.{suffix}", {}) as made:
        frame = next(made.decode(video=0))
    assert "gray" in frame.format.name
    if suffix != "exr":
        middle = frame.to_ndarray(format="gray16le")[32, ::2].astype(float)
        assert np.abs(middle - (np.arange(64) * 1000 - 250)).max() < 800  # not stretched from limited range


def test_sound_goes_beside_the_pictures_bit_for_bit(film: Path, tmp_path: Path, tiny: Settings) -> None:
    report = run_job(film, tmp_path / "o_%06d.png", tiny)
    streams, _, metadata = probe_streams(tmp_path / "o.mka")
    assert [(stream.kind, stream.codec) for stream in streams] == [("audio", "pcm_s24le")]
    assert {key.lower(): value for key, value in metadata.items()}["timecode"] == "01:00:00:20"
    assert report.joined.kept == "kept: 1 audio in o.mka"
    for option in ("-i", film), ("-i", tmp_path / "o.mka"):
        command = ["ffmpeg", "-v", "error", *map(str, option), "-map", "0:a", "-f", "md5", "-"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == _md5(film)


def test_sound_of_another_file_goes_there_too(
    scans: Path, film: Path, media: Any, tmp_path: Path, tiny: Settings
) -> None:
    media.ffmpeg("-i", film, "-map", "0:a", "-c", "copy", tmp_path / "tape.wav")
    report = run_job(scans, tmp_path / "o_%06d.png", tiny.model_copy(update={"audio": (str(tmp_path / "tape.wav"),)}))
    assert report.joined.kept == "kept: 1 audio in o.mka"
    assert _md5(tmp_path / "o.mka") == _md5(film)
    assert not any("metadata" in line or "timecode" in line for line in report.lost)  # they are in o.mka


def _md5(path: Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_dpx_keeps_all_of_a_dpx_header(scans: Path, tmp_path: Path, tiny: Settings) -> None:
    report = run_job(scans, tmp_path / "new_%06d.dpx", tiny)
    assert report.lost == ()
    made = pictures_of(tmp_path / "new_%06d.dpx")
    assert list(made) == list(range(86400, 86400 + COUNT))
    for number, path in made.items():
        before, after = header_of(scans.parent / f"scan_{number:06d}.dpx"), header_of(path)
        assert after[:4] == b"SDPX"
        assert len(after) == len(before)
        assert after[36:50] == path.name.encode()
        swapped = [*range(1712, 1732, 4), 1920, 1924, *range(1932, 1972, 4)]
        for offset in range(1664, len(before)):
            place = next((start for start in swapped if start <= offset < start + 4), None)
            at = offset if place is None else place + 3 - (offset - place)
            if not 1940 <= offset < 1944 and not 1724 <= offset < 1728:  # the rate, below
                assert after[offset] == before[at], offset
        old, new = read_header(scans.parent / f"scan_{number:06d}.dpx"), read_header(path)
        assert (new.rate, new.timecode, dict(new.texts)) == (24, old.timecode, dict(old.texts))
        assert new.texts["dpx_input_device"] == "Scan"


def test_dpx_counts_the_timecode_of_a_film(film: Path, tmp_path: Path, tiny: Settings) -> None:
    run_job(film, tmp_path / "o_%06d.dpx", tiny)
    headers = [read_header(path) for path in pictures_of(tmp_path / "o_%06d.dpx").values()]
    assert [header.timecode for header in headers] == [f"01:00:0{i // 25}:{i % 25:02d}" for i in range(20, 26)]
    assert {header.rate for header in headers} == {25}
    assert "dossr-video" in headers[0].texts["dpx_creator"]
    assert probe(tmp_path / "o_%06d.dpx").metadata["timecode"] == "01:00:00:20"


def test_numbers_follow_the_source_or_the_option(scans: Path, tmp_path: Path, tiny: Settings) -> None:
    run_job(scans, tmp_path / "a_%06d.png", tiny.model_copy(update={"start": 2 / 24 - 0.001}))
    assert list(pictures_of(tmp_path / "a_%06d.png")) == list(range(86402, 86400 + COUNT))
    run_job(scans, tmp_path / "b_%06d.png", tiny.model_copy(update={"start_number": 0}))
    assert list(pictures_of(tmp_path / "b_%06d.png")) == list(range(COUNT))
    with pytest.raises(SettingsError, match=r"--start-number 5 counts pictures, and o\.mkv is a film"):
        run_job(scans, tmp_path / "o.mkv", tiny.model_copy(update={"start_number": 5}))


def test_what_pictures_cannot_hold_is_told(scans: Path, tmp_path: Path, tiny: Settings) -> None:
    report = run_job(scans, tmp_path / "o_%06d.png", tiny)
    assert any(line.startswith("metadata dpx_creator") for line in report.lost)
    assert any(line.startswith("timecode 01:00:0") for line in report.lost)
    with pytest.raises(SettingsError, match="--strict"):
        run_job(scans, tmp_path / "p_%06d.png", tiny.model_copy(update={"strict": True}))


def test_timecodes_that_jump_are_kept_in_dpx_only(scans: Path, tmp_path: Path, tiny: Settings) -> None:
    path = scans.parent / "scan_086403.dpx"
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 1920, 0x02000000)
    path.write_bytes(data)
    assert run_job(scans, tmp_path / "o_%06d.dpx", tiny).lost == ()
    assert read_header(tmp_path / "o_086403.dpx").timecode == "02:00:00:00"
    assert any("do not go on from the one before" in line for line in run_job(scans, tmp_path / "o.mkv", tiny).lost)


def test_times_that_pictures_do_not_have_are_told(media: Any, tmp_path: Path, tiny: Settings) -> None:
    source = tmp_path / "late.mkv"
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=32x24:r=25", "-f", "lavfi", "-i", "sine", "-frames:v", 6, "-shortest",
        "-vf", "setpts='(N+2+gte(N,3)*2)/25/TB'", "-fps_mode", "vfr", "-c:v", "ffv1", source,
    )  # fmt: skip
    report = run_job(source, tmp_path / "o_%06d.png", tiny)
    assert report.lost == ("times of 3 frames: png has 25 fps throughout; .mkv and .mov keep them",)
    assert "the first picture belongs at 0.080 s of o.mka" in report.warnings
    with pytest.raises(SettingsError, match="--strict: times of 3 frames"):
        run_job(source, tmp_path / "p_%06d.png", tiny.model_copy(update={"strict": True}))


def test_pictures_that_exist_are_not_overwritten(film: Path, tmp_path: Path, tiny: Settings) -> None:
    target = tmp_path / "o_%06d.png"
    (tmp_path / "o_000003.png").write_bytes(b"mine")
    with pytest.raises(TargetError, match=r"1 such pictures exist, the first is o_000003\.png"):
        run_job(film, target, tiny)
    (tmp_path / "o_000099.png").write_bytes(b"mine")
    with pytest.raises(TargetError, match=r"1 pictures would stay among those of the result.*o_000099\.png"):
        run_job(film, target, tiny, force=True)
    (tmp_path / "o_000099.png").unlink()
    assert run_job(film, target, tiny, force=True).proof.passed
    for path in pictures_of(target).values():
        path.unlink()
    with pytest.raises(TargetError, match=r"o\.mka exists"):
        run_job(film, target, tiny)


def test_what_no_sequence_can_be_is_refused(scans: Path, film: Path, tmp_path: Path, tiny: Settings) -> None:
    (tmp_path / "link").symlink_to(scans.parent)
    first = next(iter(pictures_of(scans).values()))
    for source in (scans, scans.parent, tmp_path / "link", first):
        with pytest.raises(TargetError, match="names pictures of the input"):
            run_job(source, scans.parent / "scan_%d.dpx", tiny, force=True)
    with pytest.raises(TargetError, match="names pictures of the input"):
        run_job(scans.parent, tmp_path / "link" / "scan_%d.dpx", tiny, force=True)
    with pytest.raises(SettingsError, match=r"is one picture, and a result has many"):
        run_job(film, tmp_path / "o.png", tiny)
    with pytest.raises(SettingsError, match=r"pictures are written as \.dpx"):
        run_job(film, tmp_path / "o_%06d.jpg", tiny)
    with pytest.raises(SettingsError, match="png does not take the pixel format yuv420p"):
        run_job(film, tmp_path / "o_%06d.png", tiny.model_copy(update={"pix_fmt": "yuv420p"}))
    with pytest.raises(TargetError, match="pictures cannot be put behind a URL"):
        run_job(film, "s3://bucket/o_%06d.png", tiny)
    assert not list(tmp_path.glob("o*"))


def test_a_run_that_is_cut_off_between_two_names_goes_on(
    film: Path, tmp_path: Path, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, named = durable.settle_new, []

    def cut_off(temporary: Path, final: Path) -> None:
        if len(named) == 3:
            os.link(temporary, final)  # the name is there, the other is not yet gone
            raise Interrupted("killed", hint="")
        named.append(final.name)
        settle(temporary, final)

    monkeypatch.setattr(naming.durable, "settle_new", cut_off)
    target = tmp_path / "o_%06d.png"
    with pytest.raises(Interrupted):
        run_job(film, target, tiny)
    assert named == ["o.mka", "o_000001.png", "o_000002.png"]
    assert len(pictures_of(target)) == 3
    monkeypatch.undo()
    stages: list[str] = []
    report = run_job(film, target, tiny, on_progress=lambda event: stages.append(event.stage))
    assert "upscaling" not in stages
    assert len(pictures_of(target)) == COUNT
    durable.write(report_of(target), report.dumps().encode())
    assert verify(target, film, on_frame=lambda count: None).passed
    assert not JobFolder.beside(target, suffix="").path.exists()


def test_finished_segments_are_kept_and_give_the_same_pictures(clip: Path, tmp_path: Path, tiny: Settings) -> None:
    whole = run_job(clip, tmp_path / "whole_%06d.tif", tiny)
    done: list[int] = []

    def stop() -> bool:
        return bool(done) and done[-1] >= 20

    with pytest.raises(Interrupted):
        run_job(
            clip,
            tmp_path / "o_%06d.tif",
            tiny,
            on_progress=lambda event: done.append(event.done) if event.stage == "upscaling" else None,
            cancelled=stop,
        )
    assert (tmp_path / "o_######.tif.dossr").is_dir()
    report = run_job(clip, tmp_path / "o_%06d.tif", tiny)
    assert report.resumed >= 1
    assert report.target.sha256 == whole.target.sha256


def test_a_result_is_verified_later(film: Path, tmp_path: Path, tiny: Settings) -> None:
    target = tmp_path / "o_%06d.png"
    report = run_job(film, target, tiny)
    durable.write(report_of(target), report.dumps().encode())
    assert report_of(target) == tmp_path / "o_######.png.json"
    assert Report.model_validate_json(report_of(target).read_bytes()).joined == report.joined
    assert verify(target, on_frame=lambda count: None).passed
    assert verify(target, film, on_frame=lambda count: None).passed
    sound = tmp_path / "o.mka"
    content = sound.read_bytes()
    sound.write_bytes(content[:-400] + bytes(400))
    with pytest.raises(ProofError, match="audio stream 1"):
        verify(target, on_frame=lambda count: None).require()
    sound.write_bytes(content)
    other = (tmp_path / "o_000006.png").read_bytes()
    (tmp_path / "o_000003.png").write_bytes(other)
    with pytest.raises(ProofError):
        verify(target, on_frame=lambda count: None).require()


def test_a_later_change_of_a_picture_fails_the_proof(film: Path, tmp_path: Path, tiny: Settings) -> None:
    target = tmp_path / "o_%06d.png"
    report = run_job(film, target, tiny)
    durable.write(report_of(target), report.dumps().encode())
    (tmp_path / "o_000006.png").unlink()
    with pytest.raises(ProofError, match="bytes in place of"):
        verify(target, on_frame=lambda count: None).require()
