"""Files made to do harm, or broken beyond use: refused with the reason, before memory or time is spent on them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from dossr_video.errors import SourceError
from dossr_video.video.read.opening import MAX_PIXELS, MAX_STREAMS
from dossr_video.video.read.probe import probe


def gif(width: int, height: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + 3 * frame + b";"


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def atom(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def with_traks(content: bytes, count: int) -> bytes:
    """An mp4 with its index at the front, the first track in it `count` times."""
    start = content.index(b"moov") - 4
    end = start + struct.unpack(">I", content[start : start + 4])[0]
    moov = content[start + 8 : end]
    first = moov.index(b"trak") - 4
    after = first + struct.unpack(">I", moov[first : first + 4])[0]
    return content[:start] + atom(b"moov", moov[:first] + moov[first:after] * count + moov[after:]) + content[end:]


@pytest.mark.parametrize("side", [10000, 16000, 65535])
@pytest.mark.parametrize(("make", "suffix"), [(gif, "gif"), (png, "png")])
def test_huge_frames_are_refused(tmp_path: Path, make, suffix, side):
    bomb = tmp_path / f"bomb.{suffix}"
    bomb.write_bytes(make(side, side))
    with pytest.raises(SourceError, match=f"at most {MAX_PIXELS} pixels"):
        probe(bomb)


def test_frames_that_grow_inside_are_refused(media, tmp_path):
    """The header says 160x96, the pictures say 65500x65500."""
    content = bytearray(media("mjpeg.avi").read_bytes())
    place = -1
    while (place := content.find(b"\xff\xc0\x00\x11\x08", place + 1)) >= 0:
        content[place + 5 : place + 9] = struct.pack(">HH", 65500, 65500)
    bomb = tmp_path / "bomb.avi"
    bomb.write_bytes(content)
    with pytest.raises(SourceError, match=f"at most {MAX_PIXELS} pixels"):
        probe(bomb)


def test_more_streams_than_any_video_has_are_refused(media, tmp_path):
    many = tmp_path / "many.mp4"
    many.write_bytes(with_traks(media("faststart.mp4").read_bytes(), MAX_STREAMS + 1))
    with pytest.raises(SourceError, match=f"at most {MAX_STREAMS} are read"):
        probe(many)
    many.write_bytes(with_traks(media("faststart.mp4").read_bytes(), 20000))
    with pytest.raises(SourceError, match="more streams"):
        probe(many)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_gigabytes_of_nothing_are_refused(tmp_path: Path, suffix):
    empty = tmp_path / f"sparse.{suffix}"
    with empty.open("wb") as file:
        file.truncate(4 << 30)
    with pytest.raises(SourceError, match="is not a video"):
        probe(empty)


@pytest.mark.parametrize(
    "content",
    [
        100000 * atom(b"free"),
        struct.pack(">I4sQ", 1, b"moov", 1 << 60),
        atom(b"moov", 100000 * atom(b"udta")),
    ],
    ids=["empty boxes", "an endless index", "an index of empty boxes"],
)
def test_headers_without_end_are_refused(tmp_path: Path, content):
    path = tmp_path / "endless.mp4"
    path.write_bytes(atom(b"ftyp", b"isom\0\0\2\0isom") + content)
    with pytest.raises(SourceError):
        probe(path)


def test_a_table_that_claims_billions_of_frames_is_refused(media, tmp_path):
    content = bytearray(media("faststart.mp4").read_bytes())
    place = content.index(b"stsz")
    content[place + 8 : place + 16] = struct.pack(">II", 1, 0xFFFFFFF0)
    path = tmp_path / "table.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="holds no decodable frame"):
        probe(path)
