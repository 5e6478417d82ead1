"""Ordinary and unusual good films: each is done, and none refused by its proof. The suite takes every seventh."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

EVERY = 7

LOSSLESS = ("-c:v", "ffv1")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "22")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")


@dataclass(frozen=True)
class Clip:
    """Made by ffmpeg from lavfi sources, then upscaled with bicubic."""

    source: str  # extension
    arguments: tuple[str, ...] = X264  # of the encoders and the muxer
    picture: str = "testsrc2=size=48x32:rate=25"
    frames: int = 8
    sounds: tuple[str, ...] = ()  # lavfi
    subtitles: str | None = None  # SubRip
    chapters: str | None = None  # FFMETADATA
    before: tuple[str, ...] = ()  # options of ffmpeg before its first input
    target: str = "mkv"  # extension
    settings: dict[str, Any] = field(default_factory=dict)


def clips() -> Iterator[tuple[str, Clip]]:
    yield from _pictures()
    yield from _formats()
    yield from _streams()
    yield from _times()
    yield from _settings()


def _pictures() -> Iterator[tuple[str, Clip]]:
    for size in ["16x16", "2x2", "6x4", "8x120", "120x8", "34x18", "66x50", "160x2", "64x48"]:
        yield f"size {size}", Clip("mp4", picture=f"testsrc2=size={size}:rate=25", target="mp4")
    for size in ["17x15", "33x31", "1x1", "3x5", "65x1"]:
        yield f"size {size}", Clip("mkv", LOSSLESS, f"testsrc2=size={size}:rate=25,format=yuv444p")
    for format_ in [
        "gray",
        "gray10le",
        "yuv410p",
        "yuv411p",
        "yuv422p",
        "yuv440p",
        "yuv444p",
        "yuv420p10le",
        "yuv422p10le",
        "yuv444p12le",
        "yuv444p16le",
        "yuva420p",
        "yuva444p",
        "bgra",
        "bgr0",
        "rgb48le",
        "gbrp",
        "gbrp10le",
        "gray16le",
    ]:
        yield f"format {format_}", Clip("mkv", (*LOSSLESS, "-pix_fmt", format_))
    content = {
        "green text on black": "color=black:size=96x64,drawgrid=w=9:h=7:c=0x00ff00",
        "thin blue lines": "color=white:size=96x64,drawgrid=w=5:h=5:c=blue",
        "neon": "color=0x101010:size=96x64,drawgrid=w=20:h=30:t=2:c=magenta",
        "karaoke": "color=black:size=96x64,drawbox=x=4:y=48:w=80:h=8:c=yellow:t=fill:enable='gt(n,3)'",
        "noise on black": "color=black:size=96x64,noise=alls=60:allf=t",
        "noise on red": "color=red:size=96x64,noise=alls=40:allf=t",
        "chroma noise": "color=gray:size=96x64,noise=c1s=80:c2s=80:c1f=t:c2f=t",
        "grain": "testsrc2=size=96x64,noise=alls=20:allf=t",
        "black": "color=black:size=96x64",
        "white": "color=white:size=96x64",
        "one colour": "color=0x3060c0:size=96x64",
        "fade in": "testsrc2=size=96x64,fade=in:0:8",
        "fade out": "testsrc2=size=96x64,fade=out:0:8",
        "flashes": "color=gray:size=96x64,geq=lum='if(eq(mod(N,7),3),235,40+X)':cb=128:cr=128",
        "strobe": "color=gray:size=96x64,geq=lum='if(mod(N,2),235,16)':cb=128:cr=128",
        "bars": "smptehdbars=size=96x64",
        "fractal": "mandelbrot=size=96x64",
        "cells": "life=size=96x64:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00",
        "slow": "gradients=size=96x64:speed=0.01",
        "cuts everywhere": "color=gray:size=96x64,geq=lum='mod(X*(N*37+11)+Y*(N*91+7),220)':cb=128:cr=128",
        "letterbox": "testsrc2=size=96x40,pad=96:64:0:12",
        "scrolling": "testsrc2=size=96x64,scroll=h=0.1",
        "turning": "testsrc2=size=96x64,rotate=n/4",
        "upside down and back": "testsrc2=size=96x64,vflip=enable='mod(n,2)'",
        "outside the range": "color=gray:size=96x64,geq=lum='if(lt(X,48),0,255)':cb='if(lt(Y,32),0,255)':cr=128",
    }
    for name, picture in content.items():
        for target in ("mkv", "mp4"):
            yield f"{name} to {target}", Clip("mp4", (*X264, "-pix_fmt", "yuv420p"), picture, target=target)
    for count in (1, 2, 3):
        yield f"{count} frames", Clip("mp4", frames=count, target="mp4")


def _formats() -> Iterator[tuple[str, Clip]]:
    made = {
        "hevc mp4": X265,
        "vp8 webm": ("-c:v", "libvpx"),
        "vp9 webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime"),
        "vp9 mkv": ("-c:v", "libvpx-vp9", "-deadline", "realtime"),
        "mpeg2 ts": ("-c:v", "mpeg2video"),
        "mpeg2 mpg": ("-c:v", "mpeg2video"),
        "mpeg1 mpg": ("-c:v", "mpeg1video"),
        "h264 ts": X264,
        "h264 m2ts": X264,
        "h264 mov": X264,
        "h264 flv": X264,
        "h264 fragments mp4": (*X264, "-movflags", "frag_keyframe+empty_moov"),
        "mpeg4 avi": ("-c:v", "mpeg4"),
        "mpeg4 mp4": ("-c:v", "mpeg4", "-bf", "2"),
        "mjpeg avi": ("-c:v", "mjpeg"),
        "mjpeg mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p"),
        "prores mov": ("-c:v", "prores_ks"),
        "huffyuv avi": ("-c:v", "huffyuv"),
        "ffvhuff mkv": ("-c:v", "ffvhuff"),
        "utvideo avi": ("-c:v", "utvideo"),
        "theora ogv": ("-c:v", "libtheora"),
        "wmv2 wmv": ("-c:v", "wmv2"),
        "flv1 flv": ("-c:v", "flv"),
        "h263 3gp": ("-c:v", "h263", "-s", "128x96"),
        "png mov": ("-c:v", "png"),
        "qtrle mov": ("-c:v", "qtrle"),
        "pal8 mov": ("-c:v", "qtrle", "-pix_fmt", "gray"),
        "cinepak mov": ("-c:v", "cinepak"),
        "raw avi": ("-c:v", "rawvideo"),
        "raw y4m": ("-c:v", "rawvideo", "-pix_fmt", "yuv420p"),
        "raw nut": ("-c:v", "rawvideo"),
        "dnxhr mxf": ("-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-s", "256x128", "-pix_fmt", "yuv422p"),
    }
    for name, arguments in made.items():
        yield name, Clip(name.split()[-1], arguments)
    options = {
        "long gop": ("-g", "250"),
        "all key frames": ("-g", "1"),
        "many B-frames": ("-bf", "4", "-x264-params", "b-pyramid=normal:open-gop=1"),
        "intra refresh": ("-x264-params", "intra-refresh=1"),
        "slices": ("-slices", "4"),
        "lossless": ("-qp", "0"),
    }
    for name, arguments in options.items():
        yield name, Clip("mp4", (*X264, *arguments), target="mp4")
    tags = {
        "601": "smpte170m:color_primaries=smpte170m:color_trc=smpte170m:range=tv",
        "470bg full": "bt470bg:color_primaries=bt470bg:color_trc=smpte170m:range=pc",
        "709": "bt709:color_primaries=bt709:color_trc=bt709:range=tv",
        "709 full": "bt709:color_primaries=bt709:color_trc=bt709:range=pc",
        "pq": "bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv,format=yuv420p10le",
        "hlg": "bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67:range=tv,format=yuv420p10le",
        "240m": "smpte240m:color_primaries=smpte240m:color_trc=smpte240m:range=tv",
        "ycgco": "ycgco:color_primaries=bt709:color_trc=bt709:range=tv",
    }
    for name, tag in tags.items():
        for target in ("mp4", "mkv"):
            yield (
                f"colour {name} to {target}",
                Clip("mp4", X265, f"testsrc2=size=64x48:rate=25,setparams=colorspace={tag}", target=target),
            )


def _streams() -> Iterator[tuple[str, Clip]]:
    tone = "sine=sample_rate=48000:duration=0.32"
    codecs = [
        "aac",
        "libmp3lame",
        "ac3",
        "eac3",
        "flac",
        "libopus",
        "libvorbis",
        "pcm_s16le",
        "pcm_s24le",
        "pcm_f32le",
        "pcm_u8",
        "pcm_alaw",
        "alac",
        "mp2",
        "wavpack",
    ]
    for codec in codecs:
        yield f"sound {codec}", Clip("mkv", (*X264, "-c:a", codec), sounds=(tone,))
    for codec in ("aac", "ac3", "alac", "libmp3lame", "pcm_s16le", "pcm_s24be"):
        yield f"sound {codec} mov to mp4", Clip("mov", (*X264, "-c:a", codec), sounds=(tone,), target="mp4")
    layouts = {"mono": "sine=sample_rate=8000:duration=0.32", "96 kHz": "sine=sample_rate=96000:duration=0.32"}
    layouts["5.1"] = "aevalsrc=0|1|0|1|0|1:channel_layout=5.1:duration=0.32"
    layouts["7.1"] = "aevalsrc=0|1|0|1|0|1|0|1:channel_layout=7.1:duration=0.32"
    layouts |= {
        "longer": "sine=duration=1.5",
        "shorter": "sine=duration=0.1",
        "late": "sine=duration=0.2,asetpts=PTS+0.15/TB",
    }
    for name, sound in layouts.items():
        for target in ("mp4", "mkv"):
            yield f"sound {name} to {target}", Clip("mov", (*X264, "-c:a", "pcm_s16le"), sounds=(sound,), target=target)
    yield "four sounds", Clip("mp4", sounds=(tone,) * 4, target="mp4")
    yield (
        "announced sound that never comes",
        Clip("ts", (*X264, "-c:a", "aac"), sounds=("sine=duration=0.3,atrim=end=0",), target="mp4"),
    )

    def events(count: int, length: int = 10, step: int = 10) -> str:
        lines = [(i, f"00:00:00,{i * step % 300:03d}", f"00:00:00,{i * step % 300 + length:03d}") for i in range(count)]
        return "".join(
            f"{i + 1}\n{begin} --> {end}\n<i>line</i> {i} é 字\n\n" for i, begin, end in sorted(lines, key=str)
        )

    for name, subtitles in {
        "one": events(1),
        "many": events(28),
        "overlapping": events(9, length=200, step=20),
    }.items():
        for codec, source, target in (
            ("srt", "mkv", "mkv"),
            ("ass", "mkv", "mkv"),
            ("srt", "mkv", "mp4"),
            ("mov_text", "mp4", "mkv"),
            ("mov_text", "mp4", "mp4"),
        ):
            yield (
                f"{name} subtitles {codec} to {target}",
                Clip(source, (*X264, "-c:s", codec), subtitles=subtitles, target=target),
            )

    def chapters(*spans: tuple[int, int]) -> str:
        parts = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle=Part {a} é\n" for a, b in spans)
        return f";FFMETADATA1\ntitle=A film \\; = \\# é 🎞\nartist={'long ' * 60}\n{parts}"

    for name, spans in {
        "none": (),
        "two": ((0, 160), (160, 320)),
        "many": tuple((i, i + 1) for i in range(300)),
        "no length": ((0, 100), (200, 200)),
        "gaps": ((40, 80), (200, 240)),
        "beyond the end": ((0, 100), (100, 900)),
    }.items():
        for target in ("mkv", "mp4"):
            yield f"chapters {name} to {target}", Clip("mkv", chapters=chapters(*spans), target=target)
    for turn in (90, 180, 270, 45):
        for target in ("mp4", "mkv", "mov"):
            yield (
                f"turned by {turn} to {target}",
                Clip("mp4", ("-c", "copy"), before=("-display_rotation", str(turn)), target=target),
            )
    yield "mirrored", Clip("mp4", ("-c", "copy"), before=("-display_hflip",), target="mp4")


def _times() -> Iterator[tuple[str, Clip]]:
    for aspect in ("1/2", "2/1", "16/11", "12/11", "4096/4095", "1/1000", "64/45", "1001/1000"):
        for target in ("mkv", "mp4"):
            yield (
                f"aspect {aspect} to {target}",
                Clip("mp4", picture=f"testsrc2=size=48x32:rate=25,setsar={aspect}", target=target),
            )
    for rate in ("1/10", "1", "12.5", "24000/1001", "30000/1001", "50", "60000/1001", "120", "240", "1000"):
        for target in ("mkv", "mp4"):
            yield (
                f"{rate} frames a second to {target}",
                Clip("mp4", picture=f"testsrc2=size=48x32:rate={rate}", target=target),
            )
    yield "2000 frames a second", Clip("mp4", picture="testsrc2=size=48x32:rate=2000", target="mp4")
    uneven = {
        "dropped frames": "select='not(eq(mod(n,5),2))'",
        "uneven": "setpts='(N+0.3*mod(N*7,3))/25/TB'",
        "a pause": "setpts='(N+gt(N,4)*250)/25/TB'",
        "repeated pictures": "fps=5,fps=25",
        "late": "setpts='PTS+2/TB'",
    }
    for name, change in uneven.items():
        for source, target in (("mp4", "mp4"), ("mkv", "mkv"), ("mkv", "mp4"), ("ts", "mkv")):
            yield (
                f"{name} {source} to {target}",
                Clip(source, (*X264, "-fps_mode", "vfr"), f"testsrc2=size=48x32:rate=25,{change}", target=target),
            )
    for name, change in {
        "tff": "tinterlace=4,setfield=tff",
        "bff": "tinterlace=5,setfield=bff",
        "pulldown": "telecine",
    }.items():
        yield (
            f"interlaced {name}",
            Clip(
                "ts",
                ("-c:v", "mpeg2video", "-flags", "+ilme+ildct"),
                f"testsrc2=size=64x64:rate=30000/1001,{change}",
                frames=20,
            ),
        )
    yield "a clock of ten hours", Clip("ts", (*X264, "-output_ts_offset", "36000"))


def _settings() -> Iterator[tuple[str, Clip]]:
    sound = ("sine=duration=0.4",)
    for name, target, settings in (
        ("ffv1", "mkv", {"encoder": "ffv1", "speed": None}),
        ("x265", "mp4", {"encoder": "libx265"}),
        ("prores", "mov", {"encoder": "prores_ks", "speed": None}),
        ("vp9", "webm", {"speed": None}),
        ("svtav1", "mkv", {"encoder": "libsvtav1", "speed": "12"}),
        ("scale 1", "mp4", {"scale": 1}),
        ("scale 3", "mp4", {"scale": 3}),
        ("odd width", "mp4", {"width": 101, "scale": 2}),
        ("height", "mkv", {"height": 96}),
        ("a part", "mp4", {"start": 0.08, "duration": 0.16}),
        ("a part of Matroska", "mkv", {"start": 0.1}),
        ("deflicker", "mkv", {"deflicker": True}),
        ("chunks", "mkv", {"chunk": 3}),
        ("square pixels", "mkv", {"square_pixels": True}),
        ("dedupe off", "mp4", {"dedupe": False}),
    ):
        yield f"to {name}", Clip("mp4", sounds=sound, target=target, settings=settings)


CLIPS = dict(clips())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", list(CLIPS)[:: 1 if metafunc.config.getoption("thorough") else EVERY])


def test_good_films_are_done(name: str, tiny: Settings, tmp_path: Path) -> None:
    clip = CLIPS[name]
    source = _made(clip, tmp_path)
    report = run_job(source, tmp_path / f"result.{clip.target}", tiny.model_copy(update=clip.settings))
    assert report.proof.passed
    assert report.frames > 0


def _made(clip: Clip, folder: Path) -> Path:
    path = folder / f"clip.{clip.source}"
    inputs = ["-f", "lavfi", "-i", clip.picture]
    if "copy" in clip.arguments:  # options of an input file are wanted
        first = folder / "first.mp4"
        _ffmpeg(*inputs, "-frames:v", clip.frames, *X264, first)
        inputs = [*clip.before, "-i", str(first)]
    for sound in clip.sounds:
        inputs += ["-f", "lavfi", "-i", sound]
    maps = [part for i in range(1 + len(clip.sounds)) for part in ("-map", str(i))]
    if clip.subtitles is not None:
        (folder / "s.srt").write_text(clip.subtitles)
        maps += ["-map", str(len(maps) // 2)]
        inputs += ["-i", str(folder / "s.srt")]
    if clip.chapters is not None:
        (folder / "c.txt").write_text(clip.chapters)
        maps += ["-map_metadata", str(len(maps) // 2), "-map_chapters", str(len(maps) // 2)]
        inputs += ["-f", "ffmetadata", "-i", str(folder / "c.txt")]
    _ffmpeg(*inputs, *maps, "-frames:v", clip.frames, *clip.arguments, path)
    return path


def _ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
