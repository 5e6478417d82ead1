"""Tracks of other files beside the source's: packets, times, names, and what is refused before the work."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import av
import numpy as np
import pytest

from dossr_video.errors import Interrupted, JobError, SettingsError, SourceError, TargetError
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.premis import NAMESPACE, premis_of
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.proving import verify
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import TRACKS, analyse
from dossr_video.video.mux.languages import language_in
from dossr_video.video.mux.remux import Cut
from dossr_video.video.mux.tracks import with_tracks
from dossr_video.video.read.probe import probe

PREMIS = f"{{{NAMESPACE}}}"
SRT = "1\n00:00:00,500 --> 00:00:01,000\nhéllo\n\n2\n00:00:01,200 --> 00:00:01,800\n<i>world</i>\n"
ROUND = "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"
SOUNDS = {  # files that carry sound without a picture, and ffmpeg's arguments
    "six.ac3": ["-af", ROUND, "-c:a", "ac3"],
    "six.wav": ["-af", ROUND, "-c:a", "pcm_s24le"],
    "six.thd": ["-af", ROUND, "-c:a", "truehd", "-strict", "-2"],
    "six.dts": ["-af", ROUND, "-c:a", "dca", "-strict", "-2"],
    "two.flac": ["-ac", 2],
    "two.mka": ["-ac", 2, "-c:a", "aac", "-metadata:s:a:0", "language=fra", "-metadata:s:a:0", "title=Musique"],
    "two.aac": ["-ac", 2, "-c:a", "aac"],
}


@pytest.fixture(scope="module")
def sounds(media: Any, atmos: Path) -> dict[str, Path]:
    made = {"atmos.eac3": atmos}
    for name, options in SOUNDS.items():
        made[name] = media.folder / name
        media.ffmpeg("-f", "lavfi", "-i", "sine=sample_rate=48000:duration=1.6", *options, made[name])
    return made


@pytest.fixture
def clicked(media: Any, tmp_path: Path) -> Path:
    """Two seconds of silence with a single loud sample after exactly one."""
    samples = np.zeros(96000, np.int16)
    samples[48000] = 30000
    (tmp_path / "click.raw").write_bytes(samples.tobytes())
    raw = ["-f", "s16le", "-ar", 48000, "-ac", 1, "-i", tmp_path / "click.raw"]
    media.ffmpeg(*raw, "-c:a", "pcm_s16le", tmp_path / "click.wav")
    return tmp_path / "click.wav"


def click_in(path: Path) -> float:
    """Seconds at which the last sound track of a file is loudest."""
    with av.open(str(path)) as container:
        track = container.streams.audio[-1]
        found = [
            (abs(frame.to_ndarray().astype(np.int64)), float(frame.pts * frame.time_base))
            for frame in container.decode(track)
        ]
    loud, start = max(found, key=lambda entry: entry[0].max())
    return start + int(loud.argmax()) / 48000


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_packets_are_copied_as_they_are_where_the_container_takes_them(
    media, sounds, segments_of, tmp_path, packet_hashes, suffix
):
    made = segments_of(media("plain.mp4"), tmp_path / f"result{suffix}", last=20)
    names = ["atmos.eac3", "six.ac3", "six.dts", "two.mka", "two.aac", "six.wav", "six.thd"]
    made.reader.info = with_tracks(made.reader.info, audio=[sounds[name] for name in names])
    joined = made.join()
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    assert joined.kept == "kept: 8 audio"
    given = [("aac", 1, 48000), *(sound_of(sounds[name]) for name in names)]
    found = [(s.codec, s.channels, s.sample_rate) for s in probe(made.target).of_kind("audio")]
    other = {".mkv": {}, ".mp4": {6: "flac", 7: "flac"}, ".mov": {7: "pcm_s24le"}}[suffix]  # what it does not hold
    assert found == [(other.get(i, codec), *rest) for i, (codec, *rest) in enumerate(given)]
    assert [line.partition(" (")[0] for line in joined.warnings] == [f"audio stream 0 of {names[i - 1]}" for i in other]
    for i, name in enumerate(names, start=1):  # muxers cut PCM as they like, and do not store ADTS headers
        if i not in other and name not in ("two.aac", "six.wav"):
            assert packet_hashes(made.target, f"a:{i}") == packet_hashes(sounds[name], "a:0")


def sound_of(path: Path) -> tuple[str, int, int]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return (
            stream.codec_context.codec.canonical_name,
            stream.codec_context.channels,
            stream.codec_context.sample_rate,
        )


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_atmos_is_still_told_by_the_result(media, atmos, segments_of, tmp_path, packet_hashes, suffix):
    """As an own track of the source, and where the container says it (`dec3`) there as well."""
    film = tmp_path / "film.mkv"
    media.ffmpeg("-i", media("plain.mp4"), "-i", atmos, "-map", "0:v", "-map", "1:a", "-c", "copy", film)
    made = segments_of(film, tmp_path / f"result{suffix}", last=9)
    assert made.prove(made.join()).passed
    assert packet_hashes(made.target, "a") == packet_hashes(atmos, "a")
    with av.open(str(made.target)) as container:
        next(container.decode(audio=0))
        assert container.streams.audio[0].codec_context.profile == "Dolby Digital Plus + Dolby Atmos"
    if suffix != ".mkv":
        box = made.target.read_bytes().partition(b"dec3")[2]
        assert box[5:7] == b"\x01\x10"  # the extension of type A, complexity 16


def test_language_and_title_are_kept(media, sounds, segments_of, tmp_path):
    (tmp_path / "film.de.srt").write_text(SRT)
    media.ffmpeg("-i", sounds["two.flac"], "-metadata", "title=Directors", tmp_path / "comment.flac")
    made = segments_of(media("full.mkv"), tmp_path / "result.mkv", last=9)
    made.reader.info = with_tracks(
        made.reader.info, audio=[sounds["two.mka"], tmp_path / "comment.flac"], subtitles=[tmp_path / "film.de.srt"]
    )
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    result = probe(made.target)
    names = [(s.language, s.title, "default" in s.disposition) for s in result.of_kind("audio")]
    assert names == [
        ("eng", None, True),
        ("fra", "Commentaire", False),
        ("fra", "Musique", False),
        (None, "Directors", False),
    ]
    assert [(s.codec, s.language) for s in result.of_kind("subtitle")][-1] == ("subrip", "ger")


def test_the_only_sound_is_the_default(media, sounds, segments_of, tmp_path):
    made = segments_of(media("raw.264"), tmp_path / "result.mkv", last=9)
    made.reader.info = with_tracks(made.reader.info, audio=[sounds["two.flac"], sounds["six.ac3"]])
    assert made.prove(made.join()).passed
    assert ["default" in s.disposition for s in probe(made.target).of_kind("audio")] == [True, False]


@pytest.mark.parametrize(
    ("source", "suffix", "shift"),
    [("plain.mp4", ".mp4", 0), ("hour.ts", ".mkv", 0), ("hour.ts", ".mp4", 0), ("late_5s.mkv", ".mkv", 5.5)],
)
def test_a_track_begins_where_the_source_does(media, clicked, segments_of, tmp_path, source, suffix, shift):
    made = segments_of(media(source), tmp_path / f"result{suffix}", last=9)
    made.reader.info = with_tracks(made.reader.info, audio=[clicked])
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    assert abs(click_in(made.target) - 1 - shift) < 0.002


def test_a_track_is_cut_as_the_picture_is(media, clicked, segments_of, tmp_path):
    made = segments_of(media("plain.mp4"), tmp_path / "result.mkv", first=20, last=40)
    made.reader.info = with_tracks(made.reader.info, audio=[clicked])
    proof = made.prove(made.join(Cut(Fraction(20, 25), Fraction(40, 25))))
    assert proof.passed, proof.summary
    assert abs(click_in(made.target) - 0.2) < 0.002
    with av.open(str(made.target)) as container:
        assert sum(packet.duration * packet.time_base for packet in container.demux(audio=1) if packet.size) < 0.9


def test_the_proof_finds_another_track(media, sounds, segments_of, tmp_path):
    made = segments_of(media("plain.mp4"), tmp_path / "result.mkv", last=9)
    alone = made.reader.info
    made.reader.info = with_tracks(alone, audio=[sounds["six.ac3"]])
    joined = made.join()
    media.ffmpeg(
        "-f", "lavfi", "-i", "sine=frequency=90:sample_rate=48000:duration=1.6", "-af", ROUND, tmp_path / "six.ac3"
    )
    made.reader.info = with_tracks(alone, audio=[tmp_path / "six.ac3"])
    assert [check.name for check in made.prove(joined).checks if not check.passed] == [
        "audio stream 0 of six.ac3 (ac3)"
    ]


def test_where_a_track_ends_is_told(media, sounds, clicked, tmp_path):
    (tmp_path / "s.srt").write_text(SRT)
    source = probe(media("plain.mp4"))
    with_all = with_tracks(source, audio=[sounds["six.wav"], clicked], subtitles=[tmp_path / "s.srt"])

    def told(**options: object) -> list[str]:
        processing = analyse(with_all, Settings.of(options), target=tmp_path / "o.mkv")
        return [str(finding) for finding in processing.findings if finding.topic == TRACKS]

    assert told() == [
        "tracks: audio stream 0 of six.wav (pcm_s24le); added; it ends 0.40 s before the picture: then silence",
        "tracks: audio stream 0 of click.wav (pcm_s16le); added; it ends with the picture",
        "tracks: subtitle stream 0 of s.srt (subrip); added; the last one ends at 1.80 s",
    ]
    assert "it ends 1.10 s after the picture: cut there" in told(start=0.2, duration=0.3)[0]


def test_what_else_a_file_holds_is_named(media, tmp_path):
    source = with_tracks(probe(media("plain.mp4")), audio=[media("full.mkv")])
    lost = analyse(source, Settings(), target=tmp_path / "o.mkv").lost
    assert "subtitle stream 3 of full.mkv: --audio takes sound alone" in lost
    assert "2 chapters of full.mkv: chapters are the source's" in lost
    assert any(line.startswith("metadata of full.mkv (ARTIST)") for line in lost)


def test_what_cannot_be_added_is_refused(media, sounds, tmp_path):
    source = probe(media("plain.mp4"))
    (tmp_path / "letter.wav").write_text("Dear archive,\n" * 100)
    (tmp_path / "nothing.wav").touch()
    (tmp_path / "old.srt").write_bytes(SRT.encode("latin1"))
    cases = [
        ("audio", tmp_path / "none.wav", "--audio {} does not exist"),
        ("audio", tmp_path, "--audio {} is a folder"),
        ("audio", tmp_path / "nothing.wav", "--audio {} is empty"),
        ("audio", tmp_path / "letter.wav", "--audio {} is not a sound file"),
        ("audio", media("raw.264"), "--audio {} holds no sound"),
        ("subtitles", sounds["six.wav"], "--subtitles {} holds no subtitles"),
        ("subtitles", tmp_path / "old.srt", "--subtitles {} is not UTF-8: b'h\\xe9llo'"),
    ]
    for option, path, message in cases:
        with pytest.raises(SourceError) as caught:
            with_tracks(source, **{option: [path]})
        assert caught.value.message.startswith(message.format(path))
    srt = tmp_path / "new.srt"
    srt.write_text(SRT, encoding="utf-8")
    (tmp_path / "again.flac").symlink_to(sounds["two.flac"])
    with pytest.raises(SourceError, match=r"--audio .*again\.flac is given twice"):
        with_tracks(source, audio=[sounds["two.flac"], tmp_path / "again.flac"])
    media.ffmpeg("-i", sounds["two.mka"], "-i", srt, "-map", 0, "-map", 1, "-c", "copy", tmp_path / "both.mkv")
    assert len(with_tracks(source, audio=[tmp_path / "both.mkv"], subtitles=[tmp_path / "both.mkv"]).streams) >= 2


def test_what_the_container_cannot_hold_is_refused_before_the_work(media, tmp_path):
    media.ffmpeg(
        "-f", "lavfi", "-i", "sine=duration=0.5", "-af", "aformat=channel_layouts=hexadecagonal", tmp_path / "16.wav"
    )
    source = with_tracks(probe(media("plain.mp4")), audio=[tmp_path / "16.wav"])
    with pytest.raises(SettingsError, match=r"16\.wav .* cannot be added: .*16 channels cannot be converted"):
        analyse(source, Settings(), target=tmp_path / "o.mp4")


def test_another_track_is_another_job(sounds, clip, tmp_path, tiny):
    def run(*names: str, **options: Any) -> None:
        settings = tiny.model_copy(update={"audio": tuple(str(sounds[name]) for name in names)})
        run_job(clip, tmp_path / "o.mkv", settings, **options)

    done = []
    with pytest.raises(Interrupted):
        run(
            "six.ac3",
            on_progress=done.append,
            cancelled=lambda: any(event.done for event in done if event.stage == "upscaling"),
        )
    with pytest.raises(JobError, match=r"tracks: .*six\.ac3 \(\w{12}\) -> none"):
        run()
    run("six.ac3")


def test_a_run_keeps_them_in_its_report_and_proves_them_later(media, sounds, tmp_path, tiny, packet_hashes):
    """A picture sequence with its sound."""
    scan, target = tmp_path / "scan_%03d.png", tmp_path / "film.mkv"
    media.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=48x32:r=24", "-frames:v", 8, scan)
    sound = tmp_path / "sound.ac3"
    sound.write_bytes(sounds["six.ac3"].read_bytes())
    told: list[str] = []
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "fps": "24", "audio": sound})
    report = run_job(scan, target, settings, on_progress=lambda event: told.extend(event.warnings + event.notes))
    assert any("it ends 1.27 s after the picture: kept whole" in line for line in told)
    assert [(file.path, file.streams) for file in report.tracks] == [
        (str(sound), ("audio stream 0 of sound.ac3 (ac3)",))
    ]
    assert report.source.streams == ("video stream 0 (png, 48x32, rgb24, 24 fps)",)
    assert packet_hashes(target, "a") == packet_hashes(sound, "a")
    assert [element.text for element in ET.fromstring(premis_of(report)).iter(f"{PREMIS}originalName")] == [
        str(scan),
        str(sound),
        str(target),
    ]
    (tmp_path / "film.mkv.json").write_text(report.dumps())
    assert verify(target, scan, on_frame=lambda count: None).passed
    sound.write_bytes(sounds["atmos.eac3"].read_bytes())
    with pytest.raises(SourceError, match="whose audio was added, is not what it was"):
        verify(target, scan, on_frame=lambda count: None)


@pytest.mark.parametrize(
    ("name", "language"),
    [("film.de.srt", "ger"), ("film.fre.srt", "fre"), ("film.deu.ass", "deu"), ("film.srt", None), ("a.b.srt", None)],
)
def test_the_language_of_a_name(name: str, language: str | None) -> None:
    assert language_in(name) == language


@pytest.mark.parametrize("name", ["two.mka", "two.mkv", "two_%03d.png"])
def test_a_file_whose_tracks_are_added_is_never_overwritten(
    name: str, sample: Path, tiny: Settings, sounds: dict[str, Path], tmp_path: Path
) -> None:
    sound = tmp_path / ("two.mka" if "%" in name else name.replace("mka", "mkv"))
    sound.write_bytes(sounds["two.mka"].read_bytes())
    target = tmp_path / "link.mkv" if name == "two.mka" else tmp_path / name
    if name == "two.mka":
        target.symlink_to(sound)
    options = {"audio": (str(sound),), "speed": None, "end": 0.2}
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), **options})
    with pytest.raises(TargetError, match=r"is an input"):
        run_job(sample, target, settings, force=True)
    assert sound.read_bytes() == sounds["two.mka"].read_bytes()
    assert not list(tmp_path.glob("*.dossr"))


@pytest.mark.parametrize("name", ["out.mkv", "out_%03d.png"])
def test_a_track_that_changes_while_it_is_worked_on_gives_no_result(
    name: str, sample: Path, tiny: Settings, sounds: dict[str, Path], tmp_path: Path
) -> None:
    sound, target = tmp_path / "two.flac", tmp_path / "results" / name
    target.parent.mkdir()
    sound.write_bytes(sounds["two.flac"].read_bytes())

    def grow(event: Progress) -> None:
        if event.stage == "joining" and event.done == 0:
            sound.write_bytes(sounds["two.flac"].read_bytes() + b"more")

    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "speed": None, "audio": (str(sound),)})
    with pytest.raises(SourceError, match=r"two\.flac changed while it was worked on"):
        run_job(sample, target, settings, on_progress=grow)
    folder = JobFolder.beside(target, suffix=".mkv")
    assert list(target.parent.iterdir()) == [folder.path]
    whole = folder.joined(target)
    assert not list(whole.parent.glob(f"{whole.stem.partition('%')[0]}*"))
