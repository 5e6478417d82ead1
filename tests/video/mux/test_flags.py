"""What other streams are for, and in which language they speak: kept by a container, or named before the work."""

from __future__ import annotations

from pathlib import Path

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.mux.languages import same_language
from dossr_video.video.mux.losses import losses
from dossr_video.video.read.probe import probe
from dossr_video.video.write.containers import container_of


def test_what_a_track_is_for_is_kept_or_named(media, tiny, tmp_path):
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nhi\n")
    flags = "default+original+comment+hearing_impaired+visual_impaired"
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4", "-i", tmp_path / "s.srt",
        "-map", "0", "-map", "1", "-map", "2", "-c:v", "ffv1", "-c:a", "libopus", "-c:s", "srt",
        "-disposition:a:0", flags, "-disposition:s:0", "forced+hearing_impaired+descriptions",
        "-metadata:s:v:0", "language=deu", tmp_path / "in.mkv",
    )  # fmt: skip
    source = probe(tmp_path / "in.mkv")
    many = "comment, hearing_impaired, original, visual_impaired"
    named: dict[str, list[str]] = {
        ".mkv": [],
        ".mp4": ["audio stream 1 (opus): mp4 has no flag for original; .mkv does"],
        ".mov": [
            f"audio stream 1 (opus): mov has no flag for {many}; .mkv does",
            "subtitle stream 2 (subrip): mov has no flag for descriptions, forced, hearing_impaired; .mkv and .mp4 do",
        ],
        ".webm": [
            f"audio stream 1 (opus): webm has no flag for {many}; .mkv does",
            "subtitle stream 2 (subrip): webm has no flag for hearing_impaired; .mkv and .mp4 do",
        ],
    }
    for ending, lines in named.items():
        container = container_of(Path(f"x{ending}"))
        assert [line for line in losses(source, container, cut=False) if "no flag" in line] == lines
        fast = {"speed": None, "encoder": "libvpx-vp9"} if ending == ".webm" else {}
        target = tmp_path / f"out{ending}"
        run_job(tmp_path / "in.mkv", target, Settings(**{**tiny.model_dump(exclude_unset=True), **fast}))
        made = probe(target)
        for stream, result in zip(source.streams, made.streams, strict=True):
            lost = {flag for line in lines if stream.kind in line for flag in stream.disposition if flag in line}
            assert set(result.disposition) >= set(stream.disposition) - lost, ending
            assert not set(result.disposition) & lost
        assert same_language(made.video.stream.language, "deu")
    media.ffmpeg(
        "-i", tmp_path / "in.mkv", "-map", "0:v", "-c", "copy", "-metadata:s:v:0", "language=tlh", tmp_path / "k.mkv"
    )
    unspoken = losses(probe(tmp_path / "k.mkv"), container_of(Path("x.mov")), cut=False)
    assert unspoken == ("video stream 0 (ffv1, tlh): mov has no code for the language tlh; .mp4 and .mkv do",)


def test_chapters_that_do_not_touch_are_named_where_they_must(media, tmp_path):
    for name, end in (("apart.mkv", 300), ("over.mkv", 500), ("touching.mkv", 400)):
        marks = [f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\n" for a, b in ((0, end), (400, 800))]
        (tmp_path / "chapters.txt").write_text(";FFMETADATA1\n" + "".join(marks))
        media.ffmpeg(
            "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.8", "-i", tmp_path / "chapters.txt",
            "-map_chapters", "1", "-c:v", "ffv1", tmp_path / name,
        )  # fmt: skip
        told = losses(probe(tmp_path / name), container_of(Path("x.mp4")), cut=False)
        wanted = ["the end of 1 chapters: in mp4 one ends where the next begins; .mkv keeps them"]
        assert [line for line in told if "chapters" in line] == (wanted if end != 400 else [])
        assert not losses(probe(tmp_path / name), container_of(Path("x.mkv")), cut=False)


def test_metadata_of_streams_and_chapters_is_kept_or_named(media, tiny, tmp_path):
    (tmp_path / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\nREEL=3\n"
    )
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4",
        "-i", tmp_path / "chapters.txt", "-map", "0", "-map", "1", "-map_chapters", "2", "-c:v", "ffv1", "-c:a", "aac",
        "-metadata:s:v:0", "SCANNER=Arri", "-metadata:s:v:0", "title=Picture",
        "-metadata:s:a:0", "TAPE=A1", "-metadata:s:a:0", "title=Sound", tmp_path / "in.mkv",
    )  # fmt: skip
    source = probe(tmp_path / "in.mkv")
    streams = ["SCANNER: {} holds none of single streams", "TAPE: {} holds none of single streams"]
    of_chapters = "metadata REEL of chapters: {} holds their titles alone; .mkv holds all"
    for ending, wanted in {".mkv": [], ".webm": [of_chapters], ".mp4": [*streams, of_chapters]}.items():
        told = losses(source, container_of(Path(f"x{ending}")), cut=False)
        assert len(told) == len(wanted)
        assert all(want.format(ending[1:]) in line for want, line in zip(wanted, told, strict=True))
    run_job(tmp_path / "in.mkv", tmp_path / "out.mp4", tiny)
    run_job(tmp_path / "out.mp4", tmp_path / "back.mkv", tiny)
    run_job(tmp_path / "in.mkv", tmp_path / "out.mkv", tiny)
    for name in ("out.mp4", "back.mkv", "out.mkv"):
        made = probe(tmp_path / name)
        assert [made.video.stream.title, *(stream.title for stream in made.of_kind("audio"))] == ["Picture", "Sound"]
    assert made.video.stream.metadata["SCANNER"] == "Arri"
    assert made.of_kind("audio")[0].metadata["TAPE"] == "A1"
    assert made.chapters[0].metadata == {"title": "One", "REEL": "3"}


def test_languages_that_mp4_has_no_code_for_are_named(media, tiny, tmp_path):
    for language, mp4, mov in (
        ("en-US", "mp4 writes the language en-US as eng; .mkv keeps it", "mov writes the language en-US as eng"),
        ("deu,fra", "mp4 writes the language deu,fra as deu; .mkv keeps it", "mov writes the language deu,fra as ger"),
        ("x-klingon", "mp4 has no code for the language x-klingon; .mkv does", "mov has no code for the language x"),
        ("de", "", ""),
    ):
        media.ffmpeg(
            "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4", "-c:v", "ffv1",
            "-c:a", "aac", "-metadata:s:a:0", f"language={language}", tmp_path / "in.mkv",
        )  # fmt: skip
        source = probe(tmp_path / "in.mkv")
        for ending, wanted in (("mp4", mp4), ("mov", mov), ("mkv", "")):
            told = losses(source, container_of(Path(f"x.{ending}")), cut=False)
            assert [wanted in line for line in told] == [True] * bool(wanted)
        run_job(tmp_path / "in.mkv", tmp_path / f"{language}.mp4", tiny)  # its proof passes


def test_a_subtitle_that_becomes_the_default_is_named(media, tiny, tmp_path):
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nhi\n")
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-i", tmp_path / "s.srt", "-c:v", "ffv1", "-c:s", "srt",
        "-disposition:s:0", "forced", tmp_path / "in.mkv",
    )  # fmt: skip
    for ending, count in ((".mp4", 1), (".mkv", 0)):
        report = run_job(tmp_path / "in.mkv", tmp_path / f"out{ending}", tiny)
        assert sum("default subtitle" in line for line in report.lost) == count
        assert ("default" in probe(tmp_path / f"out{ending}").streams[0].disposition) == count


def test_the_reel_of_a_timecode_track_is_kept(media, tiny, tmp_path):
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-timecode", "01:02:03:04",
        "-metadata:s:v", "reel_name=REEL1", tmp_path / "in.mov",
    )  # fmt: skip
    run_job(tmp_path / "in.mov", tmp_path / "out.mov", tiny)
    assert [stream.metadata["reel_name"] for stream in probe(tmp_path / "out.mov").streams] == ["REEL1"]


def test_the_date_of_every_stream_of_a_phone_is_that_of_the_file(media, tiny, tmp_path):
    date = "creation_time=2020-01-02T03:04:05.000000Z"
    media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4",
        "-metadata", date, "-metadata:s:v", date, "-metadata:s:a", date, tmp_path / "in.mp4",
    )  # fmt: skip
    assert "creation_time" in probe(tmp_path / "in.mp4").streams[0].metadata
    for ending in (".mkv", ".mp4", ".mov"):
        assert run_job(tmp_path / "in.mp4", tmp_path / f"out{ending}", tiny).lost == ()
