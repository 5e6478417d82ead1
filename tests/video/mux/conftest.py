"""Sound of a kind that ffmpeg cannot encode: E-AC-3 that says it holds Dolby Atmos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ADDBSIE = 53  # bit of a frame of 6 blocks with neither compression nor metadata: whether more information follows
MORE = "1" + "000001" + "00000001" + "00010000"  # it does: two bytes, flag_ec3_extension_type_a, complexity index 16
TAIL = 18  # bits at the end of a frame: auxdatae, crcrsv, crc2
ROUND = "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"


@pytest.fixture(scope="session")
def atmos(media: Any) -> Path:
    """A raw stream of 1.6 s with the flag of ETSI TS 103 420 in every frame, as streaming services send it."""
    plain, path = media.folder / "plain.eac3", media.folder / "atmos.eac3"
    tone = ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=1.6", "-af", ROUND]
    media.ffmpeg(*tone, "-c:a", "eac3", "-b:a", "384k", plain)
    path.write_bytes(_with_flag(plain.read_bytes()))
    return path


def _with_flag(stream: bytes) -> bytes:
    """A raw E-AC-3 stream of ffmpeg, the flag set."""
    made, place = b"", 0
    while place < len(stream):
        words = int.from_bytes(stream[place + 2 : place + 4], "big") + 1
        bits = "".join(f"{byte:08b}" for byte in stream[place : place + 2 * words])
        assert bits[50:54] == "0000", "the frame is of another kind"
        bits = bits[:ADDBSIE] + MORE + bits[ADDBSIE + 1 : -TAIL] + "0" * 10 + bits[-TAIL:]
        frame = int(bits, 2).to_bytes(2 * words + 4, "big")
        frame = frame[:2] + (words + 1).to_bytes(2, "big") + frame[4:-2]
        made += frame + _crc16(frame[2:]).to_bytes(2, "big")
        place += 2 * words
    return made


def _crc16(data: bytes) -> int:
    """ATSC A/52 6.1.7: x^16 + x^15 + x^2 + 1."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc
