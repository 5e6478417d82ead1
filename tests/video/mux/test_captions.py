"""Captions as .scc and .srt: out of H.264 and MPEG-2 pictures and of a track of their own, held against FFmpeg's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import SettingsError
from dossr_video.jobs.captions import require_captions
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library
from dossr_video.settings import Settings
from dossr_video.video.mux.captions import Captions, read_captions
from dossr_video.video.mux.packets import Clock
from dossr_video.video.mux.sei import with_messages
from dossr_video.video.read.probe import probe

NTSC = Fraction(30000, 1001)
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-pix_fmt", "yuv420p"]
WHOLE = Clock(Fraction(0), None, cut=False)
LOAD, SHOW, ERASE, ITALIC = (0x14, 0x20), (0x14, 0x2F), (0x14, 0x2C), (0x11, 0x2E)
ROW = (0x14, 0x70)  # the last
FIRST = [LOAD, LOAD, ROW, ROW, (0x48, 0x45), (0x4C, 0x4C), (0x4F, 0)]
SECOND = [LOAD, LOAD, ROW, ROW, ITALIC, ITALIC, (0x59, 0x4F), (0x55, 0)]
SENT = {  # by frame
    **dict(enumerate(FIRST, 2)), 10: SHOW, 11: SHOW,
    **dict(enumerate(SECOND, 30)), 45: ERASE, 46: ERASE, 50: SHOW, 51: SHOW,
}  # fmt: skip
SCC = [
    "Scenarist_SCC V1.0",
    "00:00:00;02\t9420 9420 9470 9470 c845 4c4c 4f80",
    "00:00:00;10\t942f 942f",
    "00:00:01;00\t9420 9420 9470 9470 91ae 91ae d94f d580",
    "00:00:01;15\t942c 942c",
    "00:00:01;20\t942f 942f",
]


def odd(pair: tuple[int, int]) -> bytes:
    """With its parity."""
    return bytes(byte | (0x80 if byte.bit_count() % 2 == 0 else 0) for byte in pair)


def message(frame: int, *, more: bytes) -> bytes:
    """An ATSC message (T.35): the pair of field 1, and others."""
    triplets = b"\xfc" + odd(SENT.get(frame, (0, 0))) + more
    return b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(triplets) // 3]) + b"\xff" + triplets + b"\xff"


def film(media: Any, path: Path, *, rate: Fraction = NTSC, more: bytes = b"", options: tuple[str, ...] = ()) -> Path:
    """Two seconds of H.264 with B-frames; each frame carries its pair, those before and behind a pause."""
    plain = path.with_name(f"plain_{path.name}")
    media.ffmpeg("-f", "lavfi", "-i", f"testsrc2=size=64x48:rate={rate}:duration=2", *X264, *options, plain)
    with av.open(str(plain)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        stream.metadata.update(given.streams.video[0].metadata)
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                content = message(round(packet.pts * packet.time_base * rate), more=more)
                new = av.Packet(with_messages(bytes(packet), "libx264", [(4, content)]))
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.is_keyframe, new.stream = packet.is_keyframe, stream
                made.mux(new)
    return path


@pytest.fixture(scope="module")
def captioned(media: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(media, tmp_path_factory.mktemp("captions") / "film.mp4")


@pytest.fixture(scope="module")
def others(media: Any, captioned: Path) -> dict[str, Path]:
    """The same captions in MPEG-2, and as a track."""
    mpeg2, track = captioned.with_name("film.ts"), captioned.with_name("track.mov")
    media.ffmpeg("-i", captioned, "-c:v", "mpeg2video", "-a53cc", "1", "-q:v", "2", mpeg2)
    info = probe(captioned)
    text = read_captions(info, WHOLE).scc(info, WHOLE)
    captioned.with_name("film.scc").write_text(f"{text}\n00:00:01;28\t942c\n")  # ffmpeg leaves the last out
    plain = ["-i", captioned.with_name("plain_film.mp4"), "-i", captioned.with_name("film.scc")]
    media.ffmpeg(*plain, "-map", 0, "-map", 1, "-c", "copy", track)
    return {"mpeg2": mpeg2, "track": track}


def scc_of(path: Path, clock: Clock = WHOLE) -> list[str]:
    info = probe(path)
    return read_captions(info, clock).scc(info, clock).rstrip("\n").split("\n\n")


def test_a_scc_holds_every_pair_at_its_timecode(captioned):
    assert scc_of(captioned) == SCC


def test_a_srt_holds_what_is_shown_and_when(captioned, media):
    srt = read_captions(probe(captioned), WHOLE).srt(Fraction(2))
    first, second = srt.split("\n\n")
    assert first.split("\n")[2] == "HELLO"
    assert second.split("\n")[2:] == ["<i>YOU</i>", ""]
    ours = [[seconds(time) for time in block.split("\n")[1].split(" --> ")] for block in (first, second)]
    assert ours[0] == pytest.approx([10 / NTSC, 45 / NTSC], abs=0.035)
    assert ours[1] == pytest.approx([50 / NTSC, 2], abs=0.035)  # nobody took it away
    graph = f"movie={captioned}[out+subcc]"
    media.ffmpeg("-f", "lavfi", "-i", graph, "-map", "0:1", media.folder / "judge.srt")
    judged = (media.folder / "judge.srt").read_text().split("\n")[1].split(" --> ")
    assert ours[0] == pytest.approx([seconds(time) for time in judged], abs=0.035)


def seconds(time: str) -> float:
    hours, minutes, rest = time.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


@pytest.mark.parametrize("name", ["mpeg2", "track"])
def test_other_sources_hold_the_same(captioned, others, name):
    info = probe(others[name])
    clock = Clock(info.start, None, cut=False)
    wanted = [line.partition("\t")[2].split() for line in SCC[1:]]
    assert [line.partition("\t")[2].split() for line in scc_of(others[name], clock)[1:]] == wanted
    texts = [block.split("\n")[2] for block in read_captions(info, clock).srt(Fraction(2)).split("\n\n")]
    assert texts == ["HELLO", "<i>YOU</i>"]


@pytest.mark.parametrize(("code", "first"), [("01:00:00;00", "01:00:00;02"), ("09:59:59:28", "10:00:00:00")])
def test_a_timecode_of_the_source_goes_on(media, tmp_path, code, first):
    path = film(media, tmp_path / "film.mov", options=("-timecode", code))
    assert scc_of(path)[1].startswith(first)


@pytest.mark.parametrize(
    ("frame", "rate", "code"),
    [
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (17982, NTSC, "00:10:00;00"),
        (107892, NTSC, "01:00:00;00"),
        (1800, Fraction(30), "00:01:00:00"),
        (1800, Fraction(25), "00:01:00:00"),
    ],
)
def test_drop_frame_timecode_where_the_rate_is_that_of_ntsc(captioned, frame, rate, code):
    info = probe(captioned)
    info = replace(info, video=replace(info.video, frame_rate=rate))
    captions = Captions(((frame / (NTSC if rate == NTSC else Fraction(30)), b"\x94\x2c"),), 0, False)
    assert captions.scc(info, WHOLE) == f"Scenarist_SCC V1.0\n\n{code}\t942c\n"


def test_a_run_writes_them_at_the_times_of_the_result(captioned, tmp_path):
    files = [tmp_path / "o.scc", tmp_path / "o.srt"]
    options = ["--model", "bicubic", "--scale", "2", "--start", "0.5", "--quiet"]
    run = CliRunner().invoke(
        app, [str(captioned), str(tmp_path / "o.mkv"), *options, *(f"--captions={f}" for f in files)]
    )
    assert run.exit_code == 0, run.exception
    assert files[0].read_text().split("\n\n")[1].startswith("00:00:00;15\t9420")  # frame 30 of 15 to 59
    number, times, *text = files[1].read_text().split("\n")
    assert (number, text) == ("1", ["<i>YOU</i>", ""])
    assert [*map(seconds, times.split(" --> "))] == pytest.approx([35 / NTSC, 45 / NTSC], abs=0.035)


def test_what_is_not_written_is_named(media, tmp_path):
    path = film(media, tmp_path / "film.mp4", more=b"\xfd" + odd((0x15, 0x20)) + b"\xff\x02\x21\xfe\x41\x42")
    assert read_captions(probe(path), WHOLE).left() == (
        "60 pairs of field 2 (CC3, CC4, or data of the programme)",
        "CEA-708 packets: the CEA-608 captions beside them are written",
    )


def test_a_source_without_captions_is_refused_before_the_work(media, tmp_path):
    with pytest.raises(SettingsError, match="has no closed captions"):
        require_captions(probe(media("plain.mp4")))
    arguments = [str(media("plain.mp4")), str(tmp_path / "o.mkv"), "--captions", str(tmp_path / "o.srt")]
    assert isinstance(CliRunner().invoke(app, arguments).exception, SettingsError)
    assert list(tmp_path.iterdir()) == []


def test_a_library_leaves_them_beside_each_result_whose_source_has_some(media, captioned, tmp_path):
    sources, results = tmp_path / "in", tmp_path / "out"
    sources.mkdir()
    shutil.copy(captioned, sources / "film.mp4")
    media.ffmpeg("-i", captioned.with_name("plain_film.mp4"), "-t", "0.1", sources / "plain.mp4")
    settings = Settings.of({"model": "bicubic", "scale": 1})
    work = Batch(Library(sources, results), settings, captions=("scc", "srt"))

    def run(batch: Batch) -> list[str]:
        return [
            outcome.error or outcome.verdict for outcome in batch.run(executor=LocalExecutor(worker_spec(settings)))
        ]

    results.mkdir()
    mine = results / "film.mp4.srt"
    mine.write_text("mine")
    assert run(work)[0] == f"{mine} exists, and the closed captions are to be written there"
    assert not (results / "film.mp4").exists()
    mine.unlink()
    mine.mkdir()
    assert "exists, and the closed captions" in run(work)[0]
    mine.rmdir()
    assert run(work) == ["done", "unchanged"]
    assert (results / "film.mp4.scc").read_text().rstrip("\n").split("\n\n") == SCC
    assert "HELLO" in mine.read_text()
    assert not list(results.glob("plain.mp4.s*"))
    # What an earlier run has left is replaced; what somebody has mended since is not, but for --force.
    other = replace(work, settings=Settings.of({"model": "bicubic", "scale": 1, "start": 0.5}))
    mine.write_text("mended")
    assert "exists" in run(other)[0]
    assert (mine.read_text(), run(replace(other, force=True))[0]) == ("mended", "done")
    assert "HELLO" not in mine.read_text()
    assert run(work)[0] == "done"
    assert "HELLO" in mine.read_text()


@pytest.mark.parametrize(("suffix", "kept"), [(".mov", True), (".mkv", False)])
def test_a_track_of_captions_is_copied_where_the_container_has_them(
    others, segments_of, tmp_path, packet_hashes, suffix, kept
):
    made = segments_of(others["track"], tmp_path / f"result{suffix}")
    joined = made.join()
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    assert (packet_hashes(made.target, "s") == packet_hashes(others["track"], "s")) == kept
    assert joined.lost == (
        () if kept else ("subtitle stream 1 (eia_608): matroska does not support eia_608 subtitles; .mov does",)
    )
