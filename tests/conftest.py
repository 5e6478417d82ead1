"""What every test may use: the sample clip, small moving pictures, tiny clips, and what two results must share."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.jobs.fingerprint import BLOCK, BLOCKS
from dossr_video.jobs.resolve import resolve
from dossr_video.jobs.run import run_job
from dossr_video.models.base import SamplerDefaults
from dossr_video.runspec import RunSpec, WorkerInfo
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe

Resolved = Callable[..., tuple[SourceInfo, RunSpec]]
MakeClip = Callable[..., Path]
Content = Callable[[Path], dict[str, Any]]

SAMPLE = Path(__file__).parent / "data" / "sample.mp4"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The clip of `make demo`: 50 frames of 208x88 at 25 per second, a cut in the middle, AAC sound."""
    return SAMPLE


@pytest.fixture(scope="session")
def moving() -> Tensor:
    """(9, 3, 32, 40) in [0, 1]: a smooth random texture that slides by (1.5, 0.75) pixels a frame."""
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.random((96, 96, 3), np.float32), (0, 0), 1.5)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    shifts = [np.float32([[1, 0, -1.5 * t], [0, 1, -0.75 * t]]) for t in range(9)]
    frames = [cv2.warpAffine(texture, shift, (96, 96), borderMode=cv2.BORDER_REFLECT)[:32, :40] for shift in shifts]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def tiny() -> Settings:
    """The fastest there is."""
    return Settings(model="bicubic", scale=2, speed="ultrafast", chunk=4, threads=1)


@pytest.fixture(scope="session")
def resolved() -> Resolved:
    """What a job would do with a file and settings, for a model that is sampled: the source and the RunSpec."""
    return _resolved


@pytest.fixture(scope="session")
def make_clip() -> MakeClip:
    return _make_clip


@pytest.fixture(scope="session")
def content() -> Content:
    return _content


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shots, so six segments."""
    return _make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", [9, 8, 12, 7, 10, 8])


@pytest.fixture(scope="session")
def edit() -> Callable[[Path], None]:
    """Changes a byte of a file of 4 MB or more, in place and where no sample of it is read."""

    def change(path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek((size - BLOCK) * (BLOCKS - 2) // (BLOCKS - 1) + BLOCK + 1000)
            file.write(b"x")
        os.utime(path)

    return change


@pytest.fixture(scope="session")
def whole(clip: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an uninterrupted run makes of `clip`."""
    target = tmp_path_factory.mktemp("whole") / "whole.mp4"
    run_job(clip, target, tiny)
    return _content(target)


def _resolved(source: Path, settings: Settings, *, weights: str = "w", steps: int = 1) -> tuple[SourceInfo, RunSpec]:
    info, target = probe(source), Path("out.mp4")
    defaults = SamplerDefaults(steps=steps, order=1, final="x0", color_fix="none")
    worker = WorkerInfo("compact", weights, "float32", "torch", "cpu", 1, scale=4, defaults=defaults, version="0")
    processing = analyse(info, settings, target=target)
    return info, resolve(settings, info, processing, target, worker=worker, workers=1)


def _make_clip(path: Path, shots: list[int], *, seed: int = 0) -> Path:
    """32x24 moving grain with hard cuts, uneven times from 1 s on, frame 3 of each shot a repeat, and sound."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w", container_options={"movie_timescale": "1000"}) as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast", "g": "7"})
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000, layout="mono")
        pts = 1000
        for shot, length in enumerate(shots):
            picture = rng.integers(0, 16, (24, 32, 3), np.uint8) + np.uint8(60 + 100 * (shot % 2))
            for i in range(length):
                moved = np.roll(picture, 2 if i == 3 else i, axis=1)
                frame = av.VideoFrame.from_ndarray(moved, format="rgb24")
                frame.pts, frame.time_base = pts, Fraction(1, 1000)
                pts += int(rng.integers(30, 50))
                container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, pts * 16, 1024):
            tone = np.sin(np.arange(start, start + 1024) / 7).astype(np.float32)[None] / 4
            audio = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            audio.sample_rate, audio.pts, audio.time_base = 16000, start, Fraction(1, 16000)
            container.mux(sound.encode(audio))
        container.mux(sound.encode(None))
    return path


def _content(path: Path) -> dict[str, Any]:
    """Everything of a result that a resumed run must share with an uninterrupted one."""
    with av.open(str(path)) as container:
        seconds = [Fraction(frame.pts) * frame.time_base for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        pictures = [hashlib.sha256(frame.to_ndarray()).hexdigest() for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        packets = [
            (packet.pts, packet.dts, packet.duration, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in container.demux(audio=0)
            if packet.size
        ]
    return {"seconds": seconds, "pictures": pictures, "packets": packets}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """`ffmpeg` is that of imageio-ffmpeg, whatever this machine has or has not."""
    folder = tempfile.TemporaryDirectory(prefix="ffmpeg-")
    config.add_cleanup(folder.cleanup)
    Path(folder.name, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    os.environ["DOSSR_VIDEO_CONFIG_DIR"] = folder.name  # no options of whoever runs the tests
    os.environ["PATH"] = folder.name + os.pathsep + os.environ["PATH"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA=1 and there is no CUDA device")
        pytest.skip("needs a CUDA device")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="every fault, mutant and clip, not a spread of them")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server of S3 on this machine."""
    server = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its file system with an empty bucket `films`; whoever uses s3:// in the test finds it."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    known = {"AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret-word"}
    for name, value in {**known, "AWS_DEFAULT_REGION": "us-east-1", "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST")).close()
    kind = fsspec.get_filesystem_class("s3")
    kind.clear_instance_cache()
    system = kind(use_listings_cache=False)
    system.mkdir("films")
    yield system
    kind.clear_instance_cache()
