"""Small films in every container that is read often, made with PyAV."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAMES = 8


@dataclass(frozen=True)
class Original:
    name: str
    codec: str = "libx264"
    sound: str | None = "aac"
    muxer: str | None = None
    options: dict[str, str] = field(default_factory=dict)


ORIGINALS = (
    Original("film.mp4"),
    Original("edits.mov", sound="pcm_s16le"),
    Original("fragments.mp4", options={"movflags": "frag_keyframe+empty_moov"}),
    Original("film.mkv"),
    Original("film.webm", codec="libvpx-vp9", sound="libopus"),
    Original("film.ts", muxer="mpegts"),
    Original("film.mpg", codec="mpeg2video", sound="mp2", muxer="vob"),
    Original("film.avi", codec="mpeg4", sound="mp2"),
)


def make(original: Original, folder: Path) -> Path:
    """48x32, FRAMES frames at 25 a second, two shots, sound and a title."""
    path = folder / original.name
    rng = np.random.default_rng(3)
    with av.open(str(path), "w", format=original.muxer, container_options=original.options) as container:
        container.metadata["title"] = "A film"
        options = {"g": "4", "preset": "ultrafast", "bf": "1"} if original.codec == "libx264" else {"g": "4"}
        video = container.add_stream(original.codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        video.codec_context.thread_count = 1
        sound = container.add_stream(original.sound, rate=48000, layout="mono")
        for i in range(FRAMES):
            if i % 4 == 0:
                picture = rng.integers(0, 256, (8, 12, 3), np.uint8).repeat(4, 0).repeat(4, 1)
            frame = av.VideoFrame.from_ndarray(np.roll(picture, i, 1), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        size = sound.codec_context.frame_size or 1024
        format_ = sound.codec_context.format.name
        for start in range(0, FRAMES * 1920, size):
            tone = np.sin(np.arange(start, start + size) / 20)[None] / 4
            samples = tone.astype(np.float32) if "flt" in format_ else (tone * 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(samples, format=format_, layout="mono")
            block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path
