"""Sound, covers, languages and time codes that a target holds in another way than the source, or not at all."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from dossr_video.video.mux.losses import losses
from dossr_video.video.mux.remux import Cut
from dossr_video.video.read.probe import probe
from dossr_video.video.write.containers import container_of


def shown_texts(path: Path) -> list[tuple[int, int, str]]:
    """What the first subtitles of an mp4 show, from and to when, milliseconds."""
    with av.open(path) as container:
        return [
            (
                round(1000 * packet.pts * packet.time_base),
                round(1000 * (packet.pts + packet.duration) * packet.time_base),
                bytes(packet)[2 : 2 + bytes(packet)[1]].decode(),
            )
            for packet in container.demux(subtitles=0)
            if packet.size > 2  # else it is a pause
        ]


def decoded_sound(path: Path) -> str:
    """The hash of its first sound track as 24-bit samples, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-c:a", "pcm_s24le", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "suffix", "codec"),
    [
        ("wmav2.wmv", ".mkv", "flac"),
        ("wmav2.wmv", ".mp4", "flac"),
        ("wmav2.wmv", ".mov", "pcm_s24le"),
        ("pcm_s24le.mov", ".mp4", "flac"),
        ("pcm_s24le.mov", ".mkv", "pcm_s24le"),
        ("libopus.mkv", ".mov", "pcm_s24le"),
        ("libopus.mkv", ".mp4", "opus"),
        ("truehd.mkv", ".mp4", "flac"),
        ("truehd.mkv", ".mov", "pcm_s24le"),
        ("truehd.mkv", ".mkv", "truehd"),
        ("ac3_side.mkv", ".webm", "opus"),
        ("unplaced.mkv", ".mp4", "flac"),
        ("stereo.avi", ".mp4", "pcm_s16le"),
        ("mono.avi", ".mp4", "pcm_s16le"),
    ],
)
def test_sound_is_copied_or_converted_to_what_the_target_holds(media, segments_of, tmp_path, name, suffix, codec):
    made = segments_of(media(name), tmp_path / f"result{suffix}")
    joined = made.join()
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    source, result = probe(media(name)).of_kind("audio")[0], probe(made.target).of_kind("audio")[0]
    assert (result.codec, result.channels) == (codec, source.channels)
    assert [source.codec in line for line in joined.warnings] == ([] if codec == source.codec else [True])


@pytest.mark.parametrize("name", ["pcm_s24le.mov", "stereo.avi", "mono.avi"])
def test_no_bit_of_pcm_is_lost(media, segments_of, tmp_path, name):
    made = segments_of(media(name), tmp_path / "result.mp4")
    made.join()
    assert decoded_sound(made.target) == decoded_sound(media(name))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("cover.mp4", ".mkv"), ("cover.mp4", ".mp4"), ("own_entries.mkv", ".mkv"), ("own_entries.mkv", ".mp4")],
)
def test_a_cover_stays_a_cover(media, segments_of, tmp_path, packet_hashes, name, suffix):
    made = segments_of(media(name), tmp_path / f"result{suffix}")
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    (cover,) = probe(made.target).of_kind("video")
    assert "attached_pic" in cover.disposition
    assert packet_hashes(made.target, "v:1") == packet_hashes(media(name), "v:1")


def test_what_goes_with_a_cover_is_named(media):
    source = probe(media("own_entries.mkv"))
    assert losses(source, container_of(Path("x.mkv")), cut=False) == ()
    assert any(line.startswith("metadata REEL:") for line in losses(source, container_of(Path("x.mp4")), cut=False))
    assert any("cover" in line for line in losses(source, container_of(Path("x.mov")), cut=False))


def test_quicktime_has_languages_of_its_own(media, segments_of, tmp_path):
    made = segments_of(media("german_swedish.mkv"), tmp_path / "result.mov")
    joined = made.join()
    assert made.prove(joined).passed
    assert [stream.language for stream in probe(made.target).of_kind("audio")] == ["ger", None]
    assert joined.lost == ("audio stream 2 (aac, swe): mov has no code for the language swe; .mp4 and .mkv do",)


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_the_time_code_is_kept(media, segments_of, tmp_path, suffix):
    made = segments_of(media("timecode.mov"), tmp_path / f"result{suffix}")
    assert made.join().lost == ()
    with av.open(str(made.target)) as container:
        holders = [container.metadata, *(stream.metadata for stream in container.streams)]
    codes = {v for holder in holders for k, v in holder.items() if k.lower() == "timecode"}
    assert codes == {"10:20:30:05"}
    assert any(
        "data stream" in line for line in losses(probe(media("timecode.mov")), container_of(Path("x.webm")), cut=False)
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_late_start_is_kept_and_proved(media, segments_of, tmp_path, suffix):
    made = segments_of(media("late_5s.mkv"), tmp_path / f"result{suffix}")
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    assert abs(float(probe(made.target).begins) - 5.5) < 0.05


def test_a_track_without_anything_in_the_part_is_named(media, segments_of, tmp_path):
    made = segments_of(media("late_sound.mkv"), tmp_path / "result.mp4", last=10)
    cut = Cut(Fraction(0), Fraction(10, 25))
    joined = made.join(cut)
    assert made.prove(joined).passed
    assert joined.kept == "kept: no other streams in the source"
    assert joined.warnings == ("audio stream 1 (aac): no packets in this part, left out",)


def test_a_second_picture_is_kept_whole_or_named(media, segments_of, tmp_path, packet_hashes):
    made = segments_of(media("two_pictures.mp4"), tmp_path / "result.mp4")
    assert made.prove(made.join()).passed
    assert packet_hashes(made.target, "v:1") == packet_hashes(media("two_pictures.mp4"), "v:1")
    cut = Cut(Fraction(0), Fraction(10, 25))
    part = segments_of(media("two_pictures.mp4"), tmp_path / "part.mp4", last=10)
    joined = part.join(cut)
    assert part.prove(joined).passed
    assert any("second video stream is not cut" in line for line in joined.lost)


def test_a_cut_begins_at_its_own_time_code(media, segments_of, tmp_path):
    made = segments_of(media("timecode.mov"), tmp_path / "result.mov", first=22, last=30)
    cut = Cut(Fraction(22, 25), Fraction(30, 25))
    assert made.prove(made.join(cut)).passed
    with av.open(str(made.target)) as container:
        assert container.streams.video[0].metadata["timecode"] == "10:20:31:02"


@pytest.mark.parametrize("codec", ["srt", "ass"])
def test_subtitles_that_overlap_are_shown_together_in_mp4(media, segments_of, tmp_path, codec):
    """It shows one at a time: each begins and ends at its time, whatever else is shown."""
    events = {"long": (100, 1500), "short": (300, 700), "<i>slanted</i>": (700, 1100), "at once": (700, 1100)}
    lines = [
        f"{i}\n00:00:0{a / 1000:.3f} --> 00:00:0{b / 1000:.3f}\n{text}\n\n".replace(".", ",")
        for i, (text, (a, b)) in enumerate(events.items(), 1)
    ]
    (tmp_path / "s.srt").write_text("".join(lines))
    clip = tmp_path / "clip.mkv"
    tracks = ("-map", "0:v", "-map", "1", "-c:v", "copy", "-c:s", codec)
    media.ffmpeg("-i", media("full.mkv"), "-i", tmp_path / "s.srt", *tracks, clip)
    made = segments_of(clip, tmp_path / "result.mp4", last=50)
    assert made.prove(made.join()).passed
    shown = shown_texts(made.target)
    together = "long\nslanted\nat once"
    assert shown == [(100, 300, "long"), (300, 700, "long\nshort"), (700, 1100, together), (1100, 1500, "long")]


def test_layers_of_one_text_are_shown_once(media, segments_of, tmp_path):
    """A shadow and its letters are two events in ASS."""
    layers = "".join(f"Dialogue: {layer},0:00:00.10,0:00:00.50,Default,,0,0,0,,sign\n" for layer in (0, 1))
    fields = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
    (tmp_path / "s.ass").write_text(f"[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: {fields}\n{layers}")
    clip = tmp_path / "clip.mkv"
    media.ffmpeg("-i", media("full.mkv"), "-i", tmp_path / "s.ass", "-map", "0:v", "-map", "1", "-c", "copy", clip)
    made = segments_of(clip, tmp_path / "result.mp4", last=50)
    assert made.prove(made.join()).passed
    assert shown_texts(made.target) == [(100, 500, "sign")]
