"""The sample from file to file with the embedded model, as `make demo` does it, judged from outside."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import dossr_video
from dossr_video.models.dossr.convert import convert
from dossr_video.video.pixels import plane


def pictures(path: Path) -> tuple[list[Fraction], np.ndarray]:
    """Times in seconds, and RGB frames (T, H, W, 3)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        decoded = [
            (frame.pts * stream.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)
        ]
    times, frames = zip(*decoded, strict=True)
    return list(times), np.stack(frames)


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.time_base is not None
        return [
            (packet.pts * stream.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


@pytest.fixture(scope="module")
def enlarged(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    target = tmp_path_factory.mktemp("end_to_end") / "sample_x4.mp4"
    # Both sides of the cut at 0.88 s: enough to see every part work.
    report = dossr_video.upscale(sample, target, dossr_video.Settings(start=0.6, duration=0.56))
    assert report.frames == 14
    assert report.shots == 2
    return target


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    target = tmp_path_factory.mktemp("whole") / "sample_x4.mp4"
    report = dossr_video.upscale(sample, target, dossr_video.Settings(model="bicubic"))
    assert report.frames == 50
    return target


def test_every_frame_keeps_its_time_and_is_four_times_as_large(whole: Path, sample: Path) -> None:
    times, frames = pictures(sample)
    new_times, new_frames = pictures(whole)
    assert new_times == times
    assert new_frames.shape == (50, 4 * 88, 4 * 208, 3)
    small = np.stack([cv2.resize(frame, (208, 88), interpolation=cv2.INTER_AREA) for frame in new_frames])
    assert np.abs(small.astype(float) - frames).mean() < 2.5
    assert np.abs(small.mean((0, 1, 2)) - frames.mean((0, 1, 2))).max() < 0.5


def test_every_sound_packet_is_the_same_at_the_same_time(whole: Path, sample: Path) -> None:
    assert sound_packets(whole) == sound_packets(sample)
    assert len(sound_packets(sample)) > 80


def test_a_cut_of_the_file_begins_at_zero_with_its_sound(enlarged: Path, sample: Path) -> None:
    times, _ = pictures(enlarged)
    assert times == [Fraction(i, 25) for i in range(14)]
    original = [data for _, data in sound_packets(sample)]
    kept = sound_packets(enlarged)
    first = original.index(kept[0][1])
    assert [data for _, data in kept] == original[first : first + len(kept)]
    # The kept sound lies where it lay: packet n of the source began 0.6 s earlier on the cut file's clock.
    shift = sound_packets(sample)[first][0] - Fraction(6, 10) - kept[0][0]
    assert abs(shift) < Fraction(1, 1000)


def test_the_model_gives_the_source_back_when_shrunk(enlarged: Path, sample: Path) -> None:
    _, frames = pictures(enlarged)
    _, source = pictures(sample)
    small = np.stack([cv2.resize(frame, (208, 88), interpolation=cv2.INTER_AREA) for frame in frames]).astype(float)
    wanted = source[15:29].astype(float)
    assert np.abs(small.mean((1, 2)) - wanted.mean((1, 2))).max() < 1.0
    assert 10 * np.log10(255**2 / ((small - wanted) ** 2).mean()) > 24
    # And it is no blurred copy: sharper than cubic enlargement.
    cubic = np.stack([cv2.resize(frame, (832, 352), interpolation=cv2.INTER_CUBIC) for frame in source[15:29]])
    assert sharpness(frames) > 1.2 * sharpness(cubic)


def sharpness(frames: np.ndarray) -> float:
    floats = frames.astype(np.float32)
    return float(np.mean([np.abs(f - cv2.GaussianBlur(f, (0, 0), 1.2)).mean() for f in floats]))


def test_the_result_does_not_depend_on_the_chunk_and_repeats_itself(tmp_path: Path, sample: Path) -> None:
    results = []
    for name, chunk in (("a", 8), ("b", 8), ("c", 3)):
        settings = dossr_video.Settings(start=0.8, duration=0.2, scale=2, chunk=chunk)
        dossr_video.upscale(sample, tmp_path / f"{name}.mp4", settings)
        results.append(pictures(tmp_path / f"{name}.mp4")[1])
    assert np.array_equal(results[0], results[1])
    assert (results[0] != results[2]).mean() < 1e-2  # the encoder spreads what a batched kernel rounds differently


@pytest.mark.parametrize(
    ("suffix", "encoder", "codec"),
    [
        (".mkv", "ffv1", "ffv1"),
        (".mov", "prores_ks", "prores"),
        (".mov", "dnxhd", "dnxhd"),
        (".mov", "v210", "v210"),
        (".mp4", "libx265", "hevc"),
        (".mkv", "libsvtav1", "av1"),
        (".webm", "libvpx-vp9", "vp9"),
    ],
)
def test_every_encoder_and_container(tmp_path: Path, sample: Path, suffix: str, encoder: str, codec: str) -> None:
    target = tmp_path / f"o{suffix}"
    settings = dossr_video.Settings(model="bicubic", encoder=encoder, duration=0.4, width=416)
    dossr_video.upscale(sample, target, settings)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == codec
        assert (stream.width, stream.height) == (416, 176)
        assert sum(1 for _ in container.decode(stream)) == 10
    assert len(sound_packets(target)) > 10


@pytest.fixture(scope="module")
def on_twos(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """The first ten frames of the sample, each shown twice; lossless, so the duplicates are exact."""
    path = tmp_path_factory.mktemp("twos") / "twos.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 208, 88, "yuv420p"
        for frame in pictures(sample)[1][:10]:
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_duplicates_are_computed_once_and_keep_their_times(tmp_path: Path, on_twos: Path) -> None:
    target = tmp_path / "o.mkv"
    report = dossr_video.upscale(on_twos, target, dossr_video.Settings(model="bicubic", encoder="ffv1"))
    assert (report.frames, report.duplicates) == (20, 10)
    times, frames = pictures(target)
    assert times == pictures(on_twos)[0]
    assert np.array_equal(frames[::2], frames[1::2])
    assert not np.array_equal(frames[0], frames[2])


def test_near_duplicates_are_computed_once_when_asked(tmp_path: Path, on_twos: Path) -> None:
    noisy = tmp_path / "noisy.mp4"
    dossr_video.upscale(on_twos, noisy, dossr_video.Settings(model="bicubic", width=208, height=88, crf=18))
    settings = dossr_video.Settings(model="bicubic", scale=2)
    plain = dossr_video.upscale(noisy, tmp_path / "all.mp4", settings)
    deduped = dossr_video.upscale(noisy, tmp_path / "once.mp4", settings.model_copy(update={"dedupe": True}))
    assert deduped.frames == 20
    assert plain.duplicates < deduped.duplicates <= 10
    assert pictures(tmp_path / "once.mp4")[0] == pictures(noisy)[0]


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory, moving: Tensor) -> Path:
    """Three frames of 40x32, lossless."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 40, 32, "bgr0"
        for frame in moving[:3].mul(255).byte().permute(0, 2, 3, 1).contiguous().numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_the_full_model_from_its_checkpoint_and_from_a_converted_folder(tmp_path: Path, tiny_clip: Path) -> None:
    checkpoint = Path(__file__).parent / "data" / "golden" / "tiny" / "tiny.ckpt"
    convert(checkpoint, tmp_path / "folder", dtype=torch.float32)
    frames = []
    for name, model in (("a", checkpoint), ("b", tmp_path / "folder")):
        target = tmp_path / f"{name}.mkv"
        settings = dossr_video.Settings(model=str(model), steps=2, encoder="ffv1", dtype="float32")
        assert dossr_video.upscale(tiny_clip, target, settings).frames == 3
        frames.append(pictures(target)[1])
    assert frames[0].shape == (3, 128, 160, 3)
    # The same numbers, laid out otherwise in memory: kernels may round differently.
    assert np.abs(frames[0].astype(int) - frames[1]).max() <= 1


def test_a_black_and_white_film_gets_no_colour(sample: Path, tmp_path: Path) -> None:
    film, target = tmp_path / "film.mp4", tmp_path / "film_x4.mp4"
    with av.open(str(sample)) as container, av.open(str(film), "w") as output:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(3), strict=False)]
        stream = output.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for frame in frames:
            plane(frame, 1)[:], plane(frame, 2)[:] = 128, 128
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    dossr_video.upscale(film, target, dossr_video.Settings(crf=4.0))
    with av.open(str(target)) as container:
        chroma = [[plane(frame, index).astype(int) for index in (1, 2)] for frame in container.decode(video=0)]
    assert len(chroma) == 3
    assert all((part == 128).all() for frame in chroma for part in frame)
