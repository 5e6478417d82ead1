"""Pieces of a shot are mended as the whole: their last frame sees the first of the next piece."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from dossr_video.jobs.plan import LEAD_IN, cut_into_segments
from dossr_video.pipeline.chunks import read_chunks
from dossr_video.pipeline.dust import without_dust
from dossr_video.restoration.dust import DustState
from dossr_video.segments import Dirt, Segment
from dossr_video.temporal.flow import DisFlow
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader

H, W, FRAMES, PIECE = 64, 96, 34, 12
REPEATED = (12, 13, 23)  # frames that duplicate the one before


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A texture that slides, a speck or two in every frame, and two repeats after the end of the first piece."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((H, W + 60, 3), np.float32), (0, 0), 2.5)
    texture = (texture - texture.mean()) / texture.std() * 25 + 115
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = W, H, "bgr0"
        for t in range(FRAMES):
            if t not in REPEATED:
                picture = texture[:, t : t + W].clip(0, 255).astype(np.uint8).copy()
                for _ in range(2):
                    centre = int(rng.integers(4, W - 4)), int(rng.integers(4, H - 4))
                    cv2.circle(picture, centre, int(rng.integers(1, 3)), (235,) * 3, -1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


def mended(film: Path, *, piece: int, length: int = 1) -> tuple[dict[int, torch.Tensor], Dirt]:
    """The frames that are written, by index, and what was mended in them."""
    frames: dict[int, torch.Tensor] = {}
    dirt = Dirt()
    source = probe(film)
    for segment in _segments(source, piece):
        with PyavReader(source) as reader:
            chunks = read_chunks(segment, reader, length, only_area=False)
            for read, _, found in without_dust(chunks, DisFlow(), 0.5, DustState(), stop=segment.stop):
                chunk, times, _, _ = read
                dirt += found
                frames |= {i: f for i, f, t in zip(chunk.indices, chunk.frames, times, strict=True) if t}
    return frames, dirt


def _segments(source: object, piece: int) -> tuple[Segment, ...]:
    with PyavReader(source) as reader:
        pts = [frame.pts for frame in reader.frames()]
    repeats = [i in REPEATED for i in range(FRAMES)]
    return cut_into_segments(pts, repeats, [0], [None], lead_in=LEAD_IN, piece=piece, look_ahead=True)


def test_pieces_are_mended_as_the_whole(film: Path) -> None:
    whole, dirt = mended(film, piece=FRAMES)
    parts, others = mended(film, piece=PIECE, length=3)
    assert len(whole) == FRAMES - len(REPEATED)
    assert dirt.specks > 0.8 * (len(whole) - 2)  # of two in a frame; some look like one in a frame beside
    for index, frame in whole.items():
        assert torch.equal(parts[index], frame), index
    assert others == dirt


def test_a_piece_sees_the_next_frame_that_is_no_duplicate(film: Path) -> None:
    segments = _segments(probe(film), PIECE)
    assert [(s.start, s.stop, s.look_ahead) for s in segments] == [(0, 11, 1), (11, 22, 1), (22, 34, 0)]
    assert [(s.stop, s.look_ahead) for s in _segments(probe(film), 11)] == [(11, 1), (22, 1), (34, 0)]
    assert all(Segment.of_json(s.as_json()) == s for s in segments)
    assert all(s.repeats == sum(s.start <= i < s.stop for i in REPEATED) for s in segments)
