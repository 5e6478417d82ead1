"""OpenEXR: light in, light out, by the curve of the source, half and float; what is clipped is told."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.files import open_input
from dossr_video.video.info import Choice
from dossr_video.video.light import CURVES, to_codes, to_light
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader

AT_24 = Choice(fps=Fraction(24))


@pytest.fixture
def plain(tiny: Settings) -> Settings:
    return tiny.model_copy(update={"speed": None, "fps": "24", "dtype": "float32"})


def write_exr(pattern: Path, pictures: list[NDArray[np.float32]], *, kind: str = "half") -> None:
    """Pictures (H, W, 3) of light, written by FFmpeg's command line."""
    height, width = pictures[0].shape[:2]
    raw = b"".join(np.stack([p[..., 1], p[..., 2], p[..., 0]]).astype("<f4").tobytes() for p in pictures)
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", f"{width}x{height}", "-i", "-"]
    subprocess.run([*command, "-c:v", "exr", "-format", kind, "-y", str(pattern)], input=raw, check=True)


def read_exr(pattern: Path) -> list[NDArray[np.float32]]:
    """(H, W, 3) of light as FFmpeg decodes it, without any conversion."""
    pictures = []
    with open_input(pattern, {}) as container:
        for frame in container.decode(video=0):
            samples = "<f4" if "f32" in frame.format.name else "<f2"
            planes = [np.frombuffer(bytes(plane), samples).reshape(frame.height, -1) for plane in frame.planes]
            pictures.append(np.stack([planes[i][:, : frame.width] for i in (2, 0, 1)], -1).astype(np.float32))
    return pictures


@pytest.mark.parametrize("transfer", [None, "bt709", "smpte2084", "arib-std-b67", *CURVES])
def test_light_and_codes_are_inverse_to_each_other(transfer: str | None) -> None:
    codes = torch.linspace(0, 1, 4097)
    light = to_light(codes, transfer)
    assert bool((light[1:] > light[:-1]).all())
    assert np.abs(to_codes(light.numpy(), transfer) - codes.numpy()).max() < 3e-4


@pytest.mark.parametrize(
    ("transfer", "code", "light"),
    [
        ("iec61966-2-1", 0.5, 0.21404),  # IEC 61966-2-1
        ("bt709", 0.409007, 0.18),  # of 18 % grey, ITU-R BT.709
        ("smpte2084", 0.580689, 1.0),  # 203 cd/m2, ITU-R BT.2408
        ("arib-std-b67", 0.75, 1.0),
        ("linear", 0.3, 0.3),
    ],
)
def test_known_points_of_the_curves(transfer: str, code: float, light: float) -> None:
    assert float(to_light(torch.tensor([code]), transfer)) == pytest.approx(light, abs=2e-4)


@pytest.mark.parametrize("kind", ["half", "float"])
def test_light_comes_back_as_it_was(kind: str, tmp_path: Path, plain: Settings) -> None:
    given = [np.full((24, 32, 3), (0.18, 0.5, 0.02), np.float32) * scale for scale in (1, 1.5)]
    write_exr(tmp_path / "in_%04d.exr", given, kind=kind)
    report = run_job(tmp_path / "in_%04d.exr", tmp_path / "out_%04d.exr", plain)
    assert report.lost == ()
    made = read_exr(tmp_path / "out_%04d.exr")
    assert made[0].shape == (48, 64, 3)
    for before, after in zip(given, made, strict=True):
        assert np.abs(after - before[0, 0]).max() < 3e-4
    assert any("scene-linear light" in line for line in report.processing)


def test_the_curve_of_a_film_is_undone(media, tmp_path: Path, plain: Settings) -> None:
    grey = round(16 + 219 * 0.409007)  # 18 % by BT.709
    media.ffmpeg(
        "-f", "lavfi", "-i", f"color=s=32x24:r=24,format=yuv420p,geq=lum={grey}:cb=128:cr=128", "-frames:v", 2,
        "-vf", "setparams=color_trc=bt709:color_primaries=bt709:colorspace=bt709:range=tv", "-c:v", "ffv1",
        tmp_path / "in.mkv",
    )  # fmt: skip
    film = plain.model_copy(update={"fps": None})
    report = run_job(tmp_path / "in.mkv", tmp_path / "out_%04d.exr", film)
    assert read_exr(tmp_path / "out_%04d.exr")[0] == pytest.approx(0.18, abs=3e-3)
    assert any("the curve of BT.709 is undone" in line for line in report.processing)
    colors = run_job(tmp_path / "out_%04d.exr", tmp_path / "back.mkv", plain).settings.video.color
    assert colors.transfer == "iec61966-2-1"


def test_light_brighter_than_white_is_told(tmp_path: Path, plain: Settings) -> None:
    write_exr(tmp_path / "in_%04d.exr", [np.full((24, 32, 3), 2.0, np.float32)] * 2)
    report = run_job(tmp_path / "in_%04d.exr", tmp_path / "out_%04d.exr", plain)
    assert report.lost == ("light brighter than white (values above 1.0, which --light pq keeps): not written",)
    assert read_exr(tmp_path / "out_%04d.exr")[0] == pytest.approx(1.0, abs=1e-3)
    kept = run_job(tmp_path / "in_%04d.exr", tmp_path / "pq_%04d.exr", plain.model_copy(update={"light": "pq"}))
    assert kept.lost == ()
    assert read_exr(tmp_path / "pq_%04d.exr")[0] == pytest.approx(2.0, abs=4e-3)


def test_tiff_in_floating_point_is_light(tmp_path: Path, plain: Settings) -> None:
    bgr = np.zeros((24, 32, 3), np.float32) + np.float32((0.1, 0.2, 0.7))
    for number in (1, 2):
        assert cv2.imwrite(str(tmp_path / f"in_{number}.tif"), bgr)
    report = run_job(tmp_path / "in_%d.tif", tmp_path / "out_%d.exr", plain)
    assert read_exr(tmp_path / "out_%d.exr")[1] == pytest.approx(
        np.broadcast_to(bgr[0, 0, ::-1], (48, 64, 3)), abs=1e-3
    )
    assert any("the pictures hold scene-linear light" in line for line in report.processing)


def test_transparency_stays_as_it_is(tmp_path: Path, media, plain: Settings) -> None:
    media.ffmpeg(
        "-f", "lavfi", "-i", "color=red:s=32x24:r=24,format=rgba,colorchannelmixer=aa=0.5,format=gbrapf32le",
        "-frames:v", 2, "-c:v", "exr", tmp_path / "in_%04d.exr",
    )  # fmt: skip
    report = run_job(tmp_path / "in_%04d.exr", tmp_path / "out_%04d.exr", plain)
    assert report.settings.video.encoding.pix_fmt == "gbrapf32le"
    with open_input(tmp_path / "out_%04d.exr", {}) as made:
        assert "a" in next(made.decode(video=0)).format.name
    with PyavReader(probe(tmp_path / "out_%04d.exr", choice=AT_24)) as reader:
        alpha = next(reader.frames()).alpha()
    assert alpha is not None
    assert alpha.numpy() == pytest.approx(0.5, abs=4e-3)
