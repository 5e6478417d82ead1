"""Bytes of packets as mp4 and Matroska store them: without the headers and start codes that streams have on the way."""

from __future__ import annotations

import re
from typing import Any


def stored(packet: Any) -> bytes | None:
    """A packet's bytes as mp4 and Matroska store them; None for one that they do not."""
    content = bytes(packet)
    if packet.stream.type == "subtitle" and content in (b"", b"\0\0"):
        return None  # mov_text fills the time between two subtitles with empty ones
    if has_start_codes(packet.stream):
        content = with_lengths(content)
    # A damaged packet of AAC is left out when the streams are joined, which says so.
    return without_adts(content) if has_adts(packet.stream) else content


def has_start_codes(stream: Any) -> bool:
    """Whether a stream is H.264 or HEVC with start codes (Annex B)."""
    context = stream.codec_context
    return context is not None and context.name in ("h264", "hevc") and not (context.extradata or b"").startswith(b"\1")


def with_lengths(content: bytes) -> bytes:
    """A packet of H.264 or HEVC as mp4 and Matroska store it: length prefixes in place of start codes."""
    units = re.split(b"\0?\0\0\1", content)[1:]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def has_adts(stream: Any) -> bool:
    """Whether the packets of a stream are AAC with ADTS headers, which mp4 and Matroska do not store."""
    context = stream.codec_context
    return stream.container.format.name in ("mpegts", "aac") and context is not None and context.name == "aac"


def without_adts(content: bytes) -> bytes | None:
    """An AAC packet without its ADTS header; None for a damaged one, which muxers refuse (ISO 13818-7 6.2)."""
    if len(content) < 8 or content[0] != 0xFF or content[1] & 0xF6 != 0xF0 or content[2] >> 2 & 15 > 12:
        return None
    whole = content[1] & 1  # without a checksum
    length = (content[3] & 3) << 11 | content[4] << 3 | content[5] >> 5
    if length < 7 or (content[6] & 3 and not whole):
        return None
    return content[7 if whole else 9 :]
