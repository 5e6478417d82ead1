"""Timestamps of audio beside the video it was recorded with: discontinuities, edit lists, streams without packets."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from PIL import Image

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.mux.remux import Cut
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.timeline import parts_of

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-pix_fmt", "yuv420p", "-g", "25"]


def _recording(media, path: Path, *, clock: float, video: float = 1, audio: float = 0.6, rate: str = "25") -> bytes:
    media.ffmpeg(
        *f"-f lavfi -i testsrc2=size=64x48:rate={rate}:duration={video}".split(),
        *f"-f lavfi -i sine=frequency=440:sample_rate=48000:duration={audio}".split(),
        *X264, *["-c:a", "mp2", "-muxdelay", "0", "-muxpreload", "0"], "-output_ts_offset", clock, path,
    )  # fmt: skip
    return path.read_bytes()


def _times(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return sorted(float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.size)


@pytest.mark.parametrize("clocks", [(40, 30, 20), (10, 10, 10), (10, 36000)], ids=["back", "same", "forward"])
def test_audio_of_joined_recordings_starts_with_its_video(media, segments_of, tmp_path, clocks):
    source = tmp_path / "joined.ts"
    source.write_bytes(b"".join(_recording(media, tmp_path / f"{i}.ts", clock=at) for i, at in enumerate(clocks)))
    made = segments_of(source, tmp_path / "result.mp4")
    assert made.prove(made.join()).passed
    assert _times(made.target, "video") == pytest.approx([n / 25 for n in range(25 * len(clocks))], abs=0.011)
    sound = _times(made.target, "audio")
    starts = [after for before, after in pairwise(sound) if after - before > 0.1]
    assert starts == pytest.approx(range(1, len(clocks)), abs=0.03)
    assert any("timestamps jump" in damage.what for damage in made.reader.damage)


def test_audio_that_goes_on_after_its_video_is_kept_and_named(media, segments_of, tmp_path):
    source = tmp_path / "joined.ts"
    source.write_bytes(b"".join(_recording(media, tmp_path / f"{i}.ts", clock=40 - 9 * i, audio=1.4) for i in range(2)))
    made = segments_of(source, tmp_path / "result.mp4")
    joined = made.join()
    assert made.prove(joined).passed
    assert [line for line in joined.warnings if "packets of stream 1 overlap those before them" in line]
    assert _times(made.target, "audio")[-1] == pytest.approx(2.4, abs=0.05)


def test_packets_shorter_than_a_tick_of_matroska_keep_their_times(media, segments_of, tmp_path):
    """TrueHD has 1,200 packets a second, and Matroska milliseconds."""
    made = segments_of(media("truehd.mkv"), tmp_path / "result.mkv")
    assert made.join().warnings == ()
    assert _times(made.target, "audio") == _times(media("truehd.mkv"), "audio")


def test_a_frame_is_the_same_wherever_reading_starts_in_joined_recordings(media, tmp_path):
    source = tmp_path / "joined.ts"
    source.write_bytes(b"".join(_recording(media, tmp_path / f"{i}.ts", clock=10) for i in range(2)))
    with PyavReader(probe(source)) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
    with PyavReader(probe(source)) as reader:
        assert [(frame.pts, frame.digest()) for frame in reader.frames(whole[30][0])] == whole[30:]


def test_still_pictures_with_continuous_audio_are_not_a_discontinuity(media, tmp_path):
    _recording(media, tmp_path / "stills.ts", clock=5, rate="1/12", video=36, audio=36)
    assert len(parts_of(probe(tmp_path / "stills.ts"))) == 1


def _with_edits(path: Path, edits: list[tuple[int, int]]) -> None:
    """Replace the edit list of every track; (duration, media time) in seconds. The moov box is at the end."""
    content = path.read_bytes()
    start = content.index(b"moov") - 4
    moov = content[start:]

    def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
        found = []
        while data:
            size = int.from_bytes(data[:4], "big")
            found.append((data[4:8], data[8:size]))
            data = data[size:]
        return found

    def box(name: bytes, data: bytes) -> bytes:
        return (len(data) + 8).to_bytes(4, "big") + name + data

    def track(data: bytes) -> bytes:
        parts = [(name, part) for name, part in boxes(data) if name != b"edts"]
        mdia = dict(parts)[b"mdia"]
        unit = struct.unpack(">I", dict(boxes(mdia))[b"mdhd"][12:16])[0]
        rows = b"".join(struct.pack(">IiI", length * movie, at * unit, 1 << 16) for length, at in edits)
        elst = box(b"edts", box(b"elst", struct.pack(">II", 0, len(edits)) + rows))
        return b"".join(box(name, part) + (elst if name == b"tkhd" else b"") for name, part in parts)

    (_, inside), *rest = boxes(moov)
    movie = struct.unpack(">I", dict(boxes(inside))[b"mvhd"][12:16])[0]
    inner = b"".join(box(name, track(part) if name == b"trak" else part) for name, part in boxes(inside))
    path.write_bytes(content[:start] + box(b"moov", inner) + b"".join(box(*one) for one in rest))


def test_audio_hidden_by_the_second_of_two_edits_stays_hidden(media, segments_of, tmp_path):
    source = tmp_path / "edits.mp4"
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=4", "-f", "lavfi"],
        "-i", "aevalsrc=sin(2*PI*t*(300+300*floor(t))):s=48000:d=4", *X264, *["-c:a", "aac"], source,
    )  # fmt: skip
    _with_edits(source, [(1, 0), (1, 3)])
    made = segments_of(source, tmp_path / "result.mp4")
    assert made.prove(made.join()).passed
    assert len(_times(made.target, "video")) == 50
    sound = _times(made.target, "audio")
    assert len(sound) == pytest.approx(2 * 48000 / 1024, abs=2)
    assert sound[-1] == pytest.approx(2, abs=0.05)


def test_an_announced_stream_without_packets_is_named_as_empty(media, segments_of, tmp_path):
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4"],
        *["-f", "lavfi", "-i", "sine=duration=0.4", "-map", "0", "-map", "1", "-map", "1"],
        *X264, *["-c:a", "mp2"], tmp_path / "both.ts",
    )  # fmt: skip
    content = (tmp_path / "both.ts").read_bytes()
    packets = [content[i : i + 188] for i in range(0, len(content), 188)]
    source = tmp_path / "empty.ts"
    source.write_bytes(b"".join(p for p in packets if (p[1] & 31) << 8 | p[2] != 0x102))
    for name in ("result.mp4", "result.mkv"):
        made = segments_of(source, tmp_path / name)
        joined = made.join()
        assert made.prove(joined).passed
        assert [line for line in joined.lost if "no packets were found" in line and "stream 2" in line]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_chapter_of_no_length_at_the_end_is_kept(media, segments_of, tmp_path, suffix):
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={title}\n"
        for start, end, title in ((0, 400, "a"), (400, 400, "b"), (450, 450, "c"))
    )
    (tmp_path / "chapters.txt").write_text(";FFMETADATA1\n" + chapters)
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4", "-i"], tmp_path / "chapters.txt",
        *["-map_metadata", "1"], *X264, tmp_path / "chapters.mkv",
    )  # fmt: skip
    made = segments_of(tmp_path / "chapters.mkv", tmp_path / f"result{suffix}")
    joined = made.join()
    assert [title for _, _, title in joined.chapters] == ["a", "b", "c"]
    assert [start for start, _, _ in joined.chapters] == pytest.approx([0, 0.4, 0.45])
    assert made.prove(joined).passed


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_cut_in_a_subtitle_or_before_one_keeps_their_times(media, segments_of, tmp_path, suffix):
    """mp4 and mov fill the time before a subtitle with an empty packet, and the cut may go through that."""
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,200 --> 00:00:00,400\nOne\n\n2\n00:00:00,600 --> 00:00:00,900\nTwo\n\n")
    video = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1"]
    for first, times in ((2, [0.12, 0.52]), (7, [0, 0.32])):
        source = tmp_path / f"text{suffix}"
        media.ffmpeg("-y", *video, "-i", text, *X264, "-c:s", "srt" if suffix == ".mkv" else "mov_text", source)
        made = segments_of(source, tmp_path / f"{first}{suffix}", first=first, last=25)
        proof = made.prove(made.join(Cut(Fraction(first, 25), Fraction(1))))
        assert proof.passed, proof.summary
        with av.open(str(made.target)) as container:
            shown = [packet for packet in container.demux(subtitles=0) if packet.size > 2]
            found = [(packet.pts * packet.time_base, packet.duration * packet.time_base) for packet in shown]
        assert [float(begin) for begin, _ in found] == pytest.approx(times, abs=0.002)
        assert float(sum(found[0])) == pytest.approx((10 - first) / 25, abs=0.002)


def test_the_metadata_track_of_an_action_camera_is_copied_or_named(media, segments_of, tmp_path):
    (tmp_path / "text.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nDEVC data\n\n")
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4", "-i"], tmp_path / "text.srt",
        *X264, *["-c:s", "mov_text"], tmp_path / "text.mp4",
    )  # fmt: skip
    source = tmp_path / "camera.mp4"
    content = (tmp_path / "text.mp4").read_bytes()
    source.write_bytes(content.replace(b"tx3g", b"gpmd").replace(b"sbtl", b"meta"))
    made = segments_of(source, tmp_path / "result.mp4")
    joined = made.join()
    assert joined.streams["data"] == 1
    assert not joined.lost
    assert made.prove(joined).passed
    with av.open(str(made.target)) as container:
        assert b"DEVC data" in b"".join(bytes(packet) for packet in container.demux(container.streams.data[0]))
    other = segments_of(source, tmp_path / "result.mkv").join()
    assert [line for line in other.lost if "data stream 1" in line]


@pytest.mark.parametrize("lengths", [(1, 12), (2, 12), (12, 2), (1, 2)])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_shots_too_short_to_be_reordered_take_no_time_from_the_track(media, tiny, tmp_path, lengths, encoder):
    colours = ("red", "blue", "white")
    shots = [item for n, colour in zip(lengths, colours, strict=False) for item in (
        "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25,drawbox=c={colour}:t=fill,noise=alls=20:allf=t,trim=end_frame={n}",
    )]  # fmt: skip
    joined = "".join(f"[{i}]" for i in range(len(lengths))) + f"concat=n={len(lengths)}"
    media.ffmpeg(*shots, "-filter_complex", joined, "-c:v", "ffv1", tmp_path / "in.mkv")
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "encoder": encoder, "speed": "medium"})
    report = run_job(tmp_path / "in.mkv", tmp_path / "out.mp4", settings)
    assert report.shots == len(lengths)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        assert stream.duration * stream.time_base == Fraction(sum(lengths), 25)
    decoded = [packet.dts for packet in packets]
    assert decoded == sorted(set(decoded))
    assert len({b - a for a, b in pairwise(decoded)}) == 1  # at one rate throughout


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_track_of_variable_rate_lasts_to_the_end_of_the_frame_shown_last(media, tiny, tmp_path, suffix):
    """It is not the one decoded last, where there are B-frames."""
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=2", "-vf", "select='lt(n,50)+eq(n,59)'", "-fps_mode", "vfr"],
        *["-c:v", "libx264", "-bf", "3"], tmp_path / "in.mkv",
    )  # fmt: skip
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "speed": "veryfast"})  # with B-frames
    run_job(tmp_path / "in.mkv", tmp_path / f"out{suffix}", settings)
    assert probe(tmp_path / f"out{suffix}").video.duration == pytest.approx(2, abs=0.002)


@pytest.mark.parametrize(("suffix", "encoder"), [(".mp4", "libx264"), (".mkv", "libx264"), (".mkv", "ffv1")])
def test_the_last_frame_is_shown_as_long_as_in_the_source(tiny, tmp_path, suffix, encoder):
    frames = [Image.new("RGB", (64, 48), (40 * number + 20,) * 3) for number in range(5)]
    times = [100, 200, 100, 50, 300]  # milliseconds
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:], duration=times)
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "encoder": encoder, "speed": None})
    run_job(tmp_path / "in.png", tmp_path / f"out{suffix}", settings)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.duration == 750_000


@pytest.mark.parametrize(
    ("codec", "options", "suffix", "length"),
    [
        ("libopus", "-ar 48000", ".mp4", 960),
        ("libopus", "-ar 48000 -frame_duration 2.5", ".mp4", 120),
        ("aac", "-ar 44100", ".mov", 1024),
        ("aac", "-ar 44100", ".mp4", 1024),
    ],
)
def test_sound_of_matroska_is_kept_to_the_sample(media, tmp_path, tiny, codec, options, suffix, length):
    """Matroska rounds times to milliseconds: the priming of 312 samples to 7 ms."""
    source, target = tmp_path / "source.mkv", tmp_path / f"target{suffix}"
    picture, tone = "testsrc2=s=96x64:r=25:d=0.6", "sine=frequency=440:duration=0.613"
    media.ffmpeg(
        "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-c:v", "ffv1", "-c:a", codec, *options.split(), source
    )
    assert not run_job(source, target, tiny).warnings
    with av.open(str(source)) as given:
        first = next(packet for packet in given.demux(audio=0) if packet.size)
        skipped = int.from_bytes(bytes(first.get_sidedata("skip_samples"))[:4], "little")
    with av.open(str(target)) as made:
        stream = made.streams.audio[0]
        packets = [packet for packet in made.demux(stream) if packet.size]
        assert skipped > 0
        assert [packet.pts for packet in packets] == [n * length - skipped for n in range(len(packets))]
        if codec == "libopus":  # Matroska tells how much of the end is padding
            assert packets[-1].pts + packets[-1].duration == round(0.613 * 48000)
            assert (stream.start_time, stream.duration) == (0, round(0.613 * 48000))
