"""Awkward files, made once per session with the ffmpeg command line, and ffmpeg as the judge of what they hold."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import pytest
from torch import Tensor

from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.mux.picture import SegmentFile
from dossr_video.video.mux.proof import prove, small_pictures
from dossr_video.video.mux.remux import Cut, JoinReport, join
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader, VideoReader
from dossr_video.video.read.reader import open_reader
from dossr_video.video.write.containers import container_of
from dossr_video.video.write.spec import VideoSpec, make_spec
from dossr_video.video.write.writer import VideoWriter

Make = Callable[["Media", Path], None]


def words(line: str) -> list[str]:
    return line.split()


BT709 = words("-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv")
X264 = words("-c:v libx264 -preset veryfast -threads 1 -pix_fmt yuv420p")
SRT = "1\n00:00:00,500 --> 00:00:01,000\nhello\n\n2\n00:00:01,200 --> 00:00:01,800\n<i>world</i> é\n\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A title\nartist=Nobody\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=Intro\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=2000\ntitle=Main é\n"
)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def picture(size: str = "160x96", rate: str = "25", seconds: float = 2) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def sound(seconds: float = 2, hertz: int = 440) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=frequency={hertz}:sample_rate=48000:duration={seconds}"]


@dataclass(frozen=True)
class Media:
    """Makes each file once; `media("vfr.mp4")` is its path."""

    folder: Path

    def __call__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            MAKERS[name](self, path)
        return path

    def ffmpeg(self, *arguments: object) -> None:
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, capture_output=True
        )


def _full(media: Media, path: Path) -> None:
    (media.folder / "s.srt").write_text(SRT)
    (media.folder / "meta.txt").write_text(CHAPTERS)
    (media.folder / "font.ttf").write_bytes(b"\x00\x01\x00\x00" + bytes(range(256)))
    media.ffmpeg("-i", media.folder / "s.srt", media.folder / "s.ass")
    media.ffmpeg(
        *picture(), *sound(), *sound(hertz=880), "-i", media.folder / "s.srt", "-i", media.folder / "s.ass",
        "-i", media.folder / "meta.txt", *words("-map 0 -map 1 -map 2 -map 3 -map 4 -map_metadata 5 -map_chapters 5"),
        "-attach", media.folder / "font.ttf", *words("-metadata:s:t mimetype=application/x-truetype-font"),
        *words("-metadata:s:t filename=probe.ttf"), *X264, "-bf", 3, "-g", 12, *BT709,
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,setparams=color_primaries=bt709:color_trc=bt709",
        *words("-c:a:0 aac -c:a:1 ac3 -c:s:0 subrip -c:s:1 ass -metadata:s:a:0 language=eng"),
        *words("-metadata:s:a:1 language=fra -metadata:s:a:1 title=Commentaire -disposition:a:0 default"),
        *words("-disposition:a:1 0 -metadata:s:s:0 language=eng -disposition:s:0 forced"), path,
    )  # fmt: skip


def _vfr(media: Media, path: Path) -> None:
    drops = "select='not(between(mod(n\\,17)\\,3\\,7))*not(eq(mod(n\\,29)\\,11))'"
    media.ffmpeg(
        *picture(rate="60"), *sound(), "-vf", drops, "-fps_mode", "vfr", *X264, "-bf", 2, "-c:a", "aac",
        "-video_track_timescale", 60000, path,
    )  # fmt: skip


def _plain(media: Media, path: Path) -> None:
    media.ffmpeg(*picture(), *sound(), *X264, "-bf", 2, "-g", 12, "-c:a", "aac", path)


def _copied(source: str, *options: object) -> Make:
    def make(media: Media, path: Path) -> None:
        media.ffmpeg(*options, "-i", media(source), "-c", "copy", path)

    return make


def _hdr(media: Media, path: Path) -> None:
    params = (
        "log-level=none:pools=1:frame-threads=1:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:"
        f"colormatrix=bt2020nc:range=limited:master-display={MASTERING}:max-cll=1000,400"
    )
    media.ffmpeg(
        *picture(rate="24", seconds=0.5), "-vf", "scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le",
        *words("-c:v libx265 -preset ultrafast -tag:v hvc1 -color_primaries bt2020 -color_trc smpte2084"),
        *words("-colorspace bt2020nc -color_range tv"), "-x265-params", params, path,
    )  # fmt: skip


def _hlg(media: Media, path: Path) -> None:
    params = (
        "log-level=none:pools=1:frame-threads=1:repeat-headers=1:colorprim=bt2020:transfer=arib-std-b67:"
        "colormatrix=bt2020nc:range=limited"
    )
    media.ffmpeg(
        "-f", "lavfi", "-i", "color=size=512x96:rate=25:duration=0.2",
        "-vf", "format=yuv420p10le,geq=lum='64+876*X/511':cb=512:cr=512",
        *words("-c:v libx265 -preset ultrafast -crf 4 -tag:v hvc1 -color_primaries bt2020"),
        *words("-color_trc arib-std-b67 -colorspace bt2020nc -color_range tv"), "-x265-params", params, path,
    )  # fmt: skip


def _interlaced(scan: str, *options: object, size: str = "720x576", rate: str = "50") -> Make:
    def make(media: Media, path: Path) -> None:
        filters = f"interlace=scan={scan},setfield={scan}"
        frames = str(Fraction(rate) / 2)
        media.ffmpeg(*picture(size, rate, 1), "-vf", filters, *options, "-r", frames, "-aspect", "4:3", path)

    return make


def _telecine(media: Media, path: Path) -> None:
    media.ffmpeg(
        *picture("720x480", "24000/1001", 2), "-vf", "telecine=pattern=23:first_field=top,setsar=8/9,setfield=tff",
        *words("-c:v mpeg2video -threads 1 -flags +ildct+ilme -b:v 8M -pix_fmt yuv420p -r 30000/1001"), path,
    )  # fmt: skip


def _mixed(media: Media, path: Path) -> None:
    """Video in fields, telecined film, progressive video, video in fields: 36 frames each, at 29.97."""
    fields = "interlace=scan=tff:lowpass=0"
    parts = [
        *picture("320x240", "60000/1001", 1.2), *picture("320x240", "24000/1001", 1.2),
        *picture("320x240", "30000/1001", 1.2), *picture("320x240", "60000/1001", 1.2),
    ]  # fmt: skip
    graph = (
        f"[0]{fields}[a];[1]hue=h=90,telecine=pattern=23:first_field=top[b];[2]hue=h=200:s=3[c];[3]{fields}[d];"
        "[a][b][c][d]concat=n=4,setfield=tff"
    )
    media.ffmpeg(
        *parts, "-filter_complex", graph, *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1",
        "-r", "30000/1001", path,
    )  # fmt: skip


def _letterbox(media: Media, path: Path) -> None:
    """A second with 24 black lines above and below, and one that fills the frame."""
    graph = "[0]pad=128:96:0:24:black[a];[1]hue=h=120,negate[b];[a][b]concat"
    media.ffmpeg(*picture("128x48", seconds=1), *picture("128x96", seconds=1), "-filter_complex", graph, *X264, path)


def _switching(filters: str) -> Make:
    """The last 8 of 240 lines as a tape recorder leaves them where it switches heads."""

    def make(media: Media, path: Path) -> None:
        scene = "[0]rotate=0.4,format=yuv420p,split[a][b]"
        graph = f"{scene};[b]crop=320:8:0:232,{filters}[foot];[a][foot]overlay=0:232"
        media.ffmpeg(*picture("320x240"), "-filter_complex", graph, *words("-c:v mpeg2video -q:v 2"), path)

    return make


def _rotated(media: Media, path: Path) -> None:
    media.ffmpeg("-display_rotation", 90, "-i", media("plain.mp4"), "-c", "copy", path)


def _truncated(source: str) -> Make:
    def make(media: Media, path: Path) -> None:
        content = media(source).read_bytes()
        path.write_bytes(content[: int(len(content) * 0.6)])

    return make


def _hole(media: Media, path: Path) -> None:
    """The fourth of six clusters is gone."""
    media.ffmpeg("-i", media("plain.mp4"), "-c", "copy", "-cluster_time_limit", 400, path)
    content = path.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(b"\x1f\x43\xb6\x75", place)]
    path.write_bytes(content[: places[3]] + content[places[4] :])


def _corrupt_ts(media: Media, path: Path) -> None:
    content = bytearray(media("plain.ts").read_bytes())
    for position in range(len(content) // 3, len(content) // 3 + 300):
        content[position] = random.Random(position).randrange(256)
    path.write_bytes(content)


def _corrupt(media: Media, path: Path) -> None:
    content = bytearray(media("plain.mkv").read_bytes())
    for position in range(len(content) // 2, len(content) // 2 + 900):
        content[position] = random.Random(position).randrange(256)
    path.write_bytes(content)


def _encoded(size: str, *options: object, filters: str = "null", rate: str = "25", seconds: float = 0.4) -> Make:
    def make(media: Media, path: Path) -> None:
        media.ffmpeg(*picture(size, rate, seconds), "-vf", filters, *options, path)

    return make


def _with_sound(codec: str, *options: object, video: str = "libx264") -> Make:
    def make(media: Media, path: Path) -> None:
        media.ffmpeg(*picture(seconds=0.4), *sound(1), "-c:v", video, "-c:a", codec, *options, path)

    return make


def _late_chapter(media: Media, path: Path) -> None:
    """Two chapters from half a second on, the second without a title."""
    chapters = (
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=x\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\n"
    )
    (media.folder / "late.txt").write_text(chapters)
    media.ffmpeg(
        "-i", media("plain.mp4"), "-i", media.folder / "late.txt", *words("-map 0 -map_chapters 1 -c copy"), path
    )  # fmt: skip


def _two_sizes(media: Media, path: Path) -> None:
    """A broadcast whose picture becomes smaller on the way."""
    parts = []
    for size in ("160x96", "96x64"):
        media.ffmpeg(*picture(size, seconds=1), *X264, media.folder / f"{size}.ts")
        parts.append((media.folder / f"{size}.ts").read_bytes())
    path.write_bytes(b"".join(parts))


def _empty_text(media: Media, path: Path) -> None:
    (media.folder / "nothing.srt").write_text("")
    media.ffmpeg(
        "-i", media("plain.mp4"), "-f", "srt", "-i", media.folder / "nothing.srt",
        *words("-map 0 -map 1 -c copy -c:s srt"), path,
    )  # fmt: skip


ALPHA = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*X/W'"
VP9 = words("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -threads 1 -auto-alt-ref 0")
ODD = "format=yuv444p,crop=161:97:0:0:exact=1"
MAKERS: dict[str, Make] = {
    "full.mkv": _full,
    "vfr.mp4": _vfr,
    "plain.mp4": _plain,
    "faststart.mp4": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-movflags", "+faststart", path
    ),
    "plain.mkv": _copied("plain.mp4"),
    "plain.ts": _copied("plain.mp4"),
    "hour.ts": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-output_ts_offset", 3600, path
    ),
    "editlist.mp4": _copied("plain.mp4", "-ss", "0.7"),
    "late.mp4": lambda media, path: media.ffmpeg(
        *picture(), *sound(), "-vf", "setpts=PTS+0.5/TB", *X264, "-bf", 3, "-c:a", "aac", "-copyts", path
    ),
    "opengop.mp4": _encoded(
        "160x96", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params",
        "log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=4:pools=1:frame-threads=1", seconds=2,
    ),
    "hdr10.mp4": _hdr,
    "pal_tff.mpg": _interlaced("tff", *words("-c:v mpeg2video -threads 1 -flags +ildct+ilme -b:v 6M")),
    "h264_bff.mkv": _interlaced("bff", *X264, "-flags", "+ildct+ilme", "-x264-params", "bff=1"),
    "ntsc_bff.avi": _interlaced("bff", *words("-c:v dvvideo -pix_fmt yuv411p"), size="720x480", rate="60000/1001"),
    "unflagged.mkv": _interlaced("tff", *words("-c:v ffv1 -field_order progressive -pix_fmt yuv420p")),
    "psf.mkv": _encoded("720x576", *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1", seconds=1),
    "telecine.mpg": _telecine,
    "untagged_hd.mp4": _encoded("1280x720", *X264, seconds=0.2),
    "mixed.mp4": _mixed,
    "letterbox.mp4": _letterbox,
    "switching.mpg": _switching("noise=alls=90:allf=t"),
    "skewed.mpg": _switching("pad=340:8:12:0:black,crop=320:8:0:0"),
    "rotated.mp4": _rotated,
    "mjpeg.avi": _encoded("160x96", *words("-c:v mjpeg -q:v 3 -pix_fmt yuvj420p")),
    "ffv1_422p10.mkv": _encoded("160x96", *words("-c:v ffv1 -level 3 -pix_fmt yuv422p10le")),
    "ffv1_rgb.mkv": _encoded("160x96", *words("-c:v ffv1 -level 3 -pix_fmt gbrp")),
    "ffv1_grey.mkv": _encoded("160x96", *words("-c:v ffv1 -level 3 -pix_fmt gray")),
    "odd.mkv": _encoded("162x98", *words("-c:v ffv1 -pix_fmt yuv420p"), filters=ODD),
    "alpha.webm": _encoded("160x96", *VP9, filters=ALPHA + ",format=yuva420p"),
    "alpha.mov": _encoded("160x96", *words("-c:v prores_ks -profile:v 4444"), filters=ALPHA + ",format=yuva444p10le"),
    "anim.gif": _encoded("160x96", rate="10", seconds=1),
    "long_sound.mp4": lambda media, path: media.ffmpeg(*picture(seconds=0.4), *sound(3), *X264, "-c:a", "aac", path),
    "truncated.mp4": _truncated("faststart.mp4"),
    "truncated.mkv": _truncated("plain.mkv"),
    "no_index.mp4": _truncated("plain.mp4"),
    "corrupt.mkv": _corrupt,
    "corrupt.ts": _corrupt_ts,
    "truncated.avi": _truncated("mjpeg_2s.avi"),
    "mjpeg_2s.avi": _encoded("160x96", *words("-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"), seconds=2),
    "hole.mkv": _hole,
    "hlg.mp4": _hlg,
    "cover.png": lambda media, path: media.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=64x48:duration=1", "-frames:v", 1, path
    ),
    "cover.mp4": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-i", media("cover.png"),
        *words("-map 0 -map 1 -c copy -disposition:v:1 attached_pic"), path,
    ),
    "own_entries.mkv": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-attach", media("cover.png"), "-metadata:s:t", "mimetype=image/png",
        "-metadata:s:t", "filename=sleeve.png", "-metadata", "reel=14b", path,
    ),
    "two_pictures.mp4": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-i", media("plain.mp4"), *words("-map 0 -map 1:v -c copy"), path
    ),
    "late_sound.mkv": lambda media, path: media.ffmpeg(
        *picture(), "-itsoffset", 1.2, *sound(1), *X264, "-c:a", "aac", path
    ),
    "raw.264": _encoded("160x96", *X264, "-bf", 2, "-g", 6, "-f", "h264", seconds=1),
    "late_chapter.mkv": _late_chapter,
    "three_clocks.ts": lambda media, path: path.write_bytes(3 * media("plain.ts").read_bytes()),
    "two_sizes.ts": _two_sizes,
    "two_programs.ts": lambda media, path: media.ffmpeg(
        *picture(seconds=1), *picture("96x96", seconds=1), *sound(1), *words("-map 0 -map 2 -map 1"), *X264,
        "-c:a", "mp2", path,
    ),
    "empty_text.mkv": _empty_text,
    "timecode.mov": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-timecode", "10:20:30:05", path
    ),
    "german_swedish.mkv": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), *sound(), *words("-map 0 -map 1 -c:v copy -c:a aac"),
        *words("-metadata:s:a:0 language=deu -metadata:s:a:1 language=swe"), path,
    ),
    "late_5s.mkv": lambda media, path: media.ffmpeg(
        "-i", media("plain.mp4"), "-c", "copy", "-output_ts_offset", 5.5, path
    ),
    "reordered.avi": lambda media, path: media.ffmpeg(
        *picture(seconds=1), *sound(1), *X264, "-bf", 2, "-c:a", "libmp3lame", path
    ),
    "wmav2.wmv": _with_sound("wmav2", video="wmv2"),
    "pcm_s24le.mov": _with_sound("pcm_s24le", "-af", "aformat=s32,volume=0.377"),
    "stereo.avi": _with_sound("pcm_s16le", "-ac", 2),
    "mono.avi": _with_sound("pcm_s16le"),
    "libopus.mkv": _with_sound("libopus"),
    "truehd.mkv": _with_sound("truehd", "-strict", "-2"),
    "ac3_side.mkv": _with_sound("ac3", "-af", "pan=5.1(side)|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"),
    "unplaced.mkv": _with_sound("pcm_s16le", "-af", "pan=7.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0|c6=c0|c7=c0"),
    "sound_only.mka": lambda media, path: media.ffmpeg(*sound(), "-c:a", "aac", path),
}  # fmt: skip


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))


@dataclass(frozen=True)
class Row:
    pts: int
    md5: str


@pytest.fixture(scope="session")
def judged() -> Callable[[Path], list[Row]]:
    """Every frame that ffmpeg decodes, with its untouched time and the hash of its bytes."""

    def judge(path: Path) -> list[Row]:
        command = [
            *["ffmpeg", "-v", "error", "-nostdin", "-noautorotate", "-i", str(path), "-map", "0:v:0"],
            *["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "demux", "-f", "framemd5", "-"],
        ]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        cells = [line.split(",") for line in lines if line and not line.startswith("#")]
        return [Row(int(row[2]), row[5].strip()) for row in cells]

    return judge


@pytest.fixture(scope="session")
def packet_hashes() -> Callable[..., list[str]]:
    """MD5 of every packet of some streams of a file: "a", "s", or one, "v:1"."""

    def hashes(path: Path, streams: str) -> list[str]:
        kind, _, number = streams.partition(":")
        with av.open(str(path)) as container:
            same = [s for s in container.streams if s.type == {"v": "video", "a": "audio", "s": "subtitle"}[kind]]
            chosen = [same[int(number)]] if number else same
            return [hashlib.md5(bytes(packet)).hexdigest() for packet in container.demux(chosen) if packet.size]

    return hashes


class Made(NamedTuple):
    reader: PyavReader
    spec: VideoSpec
    segments: list[SegmentFile]
    pts: Sequence[int]
    target: Path

    def join(self, cut: Cut | None = None) -> JoinReport:
        container = container_of(self.target)
        return join(self.segments, self.reader.info, self.target, spec=self.spec, container=container, cut=cut)

    def prove(self, joined: JoinReport):
        container = container_of(self.target)
        originals = small_pictures(islice(self.reader.frames(self.pts[0]), len(self.pts)), self.reader.info.video)
        return prove(
            self.target,
            self.reader.info,
            joined,
            spec=self.spec,
            container=container,
            originals=originals,
        )


def _opened(source: Path, **options: object) -> VideoReader:
    info = probe(source)
    return open_reader(info, analyse(info, Settings.of(options)).read)


@pytest.fixture(scope="session")
def opened() -> Callable[..., VideoReader]:
    """The reader that a run uses: `opened(source, **options)`."""
    return _opened


def _segments_of(
    source: Path,
    target: Path,
    *,
    first: int = 0,
    last: int | None = None,
    change: Callable[[list[Tensor]], list[Tensor]] = lambda pictures: pictures,
    **options: object,
) -> Made:
    """Every frame of the source written at its own size into segments of 9 frames; `change` gets all pictures."""
    settings = Settings.of(options)
    reader = _opened(source, **options)
    video = reader.info.video
    fields = analyse(reader.info, settings).fields
    spec = make_spec(video, fields, settings, target, width=video.width, height=video.height)
    if spec.encoding.encoder in ("libx264", "libx265"):
        spec = replace(spec, encoding=replace(spec.encoding, speed="ultrafast"))
    pts: list[int] = []
    segments: list[SegmentFile] = []
    with ExitStack() as stack:
        frames = list(islice(reader.frames(), first, last))
        for frame, picture in zip(frames, change([frame.rgb() for frame in frames]), strict=True):
            if len(pts) % 9 == 0:
                stack.close()
                path = target.with_name(f"{target.stem}.{len(pts)}{spec.segment_suffix}")
                writer = stack.enter_context(VideoWriter(path, spec))
                segments.append(SegmentFile(path, frame.pts))
            writer.write(picture, frame.pts - segments[-1].first_pts, alpha=frame.alpha())
            pts.append(frame.pts)
    return Made(reader, spec, segments, pts, target)


@pytest.fixture(scope="session")
def segments_of() -> Callable[..., Made]:
    """Upscaling without a model: `segments_of(source, target, **options)` can be joined and proved."""
    return _segments_of
