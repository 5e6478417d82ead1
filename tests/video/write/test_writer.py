"""What cannot be written is refused before any work; what fails leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest
import torch

from dossr_video.errors import SettingsError, TargetError
from dossr_video.settings import Settings
from dossr_video.video.read.pyav import PyavReader, VideoReader
from dossr_video.video.write.spec import VideoSpec, check_target, make_spec
from dossr_video.video.write.writer import VideoWriter, configure


def spec_for(reader: VideoReader, settings: Settings, target: Path, *, width: int, height: int) -> VideoSpec:
    return make_spec(reader.info.video, (), settings, target, width=width, height=height)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.xyz", {}, "extension"),
        ("x", {}, "extension"),
        ("x.mp4", {"encoder": "ffv1"}, "mp4 files do not hold what ffv1 makes"),
        ("x.webm", {"encoder": "libx264"}, "webm files do not hold"),
    ],
)
def test_targets_that_cannot_be_are_refused(tmp_path, name, options, message):
    with pytest.raises(SettingsError, match=message):
        check_target(tmp_path / name, Settings.of(options))


def test_places_that_cannot_be_written_are_refused(tmp_path: Path, media):
    settings = Settings.of({})
    with pytest.raises(TargetError, match="does not exist"):
        check_target(tmp_path / "none" / "x.mp4", settings)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(TargetError, match="is a folder"):
        check_target(tmp_path / "folder.mp4", settings)
    source = media("plain.mp4")
    with pytest.raises(TargetError, match="is an input itself"):
        check_target(source, settings, inputs=[source], force=True)
    existing = tmp_path / "there.mp4"
    existing.write_bytes(b"x")
    with pytest.raises(TargetError, match="exists"):
        check_target(existing, settings)
    check_target(existing, settings, force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(TargetError, match="may not be written"):
        check_target(tmp_path / "x.mp4", Settings.of({}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pix_fmt": "nonsense"}, "does not take the pixel format nonsense"),
        ({"encoder": "libx264", "crf": 60}, "crf 60 does not suit libx264"),
        ({"encoder": "libx265", "pix_fmt": "yuva420p"}, "does not take the pixel format"),
    ],
)
def test_options_that_do_not_fit_are_refused(media, tmp_path, options, message):
    with PyavReader(media("plain.mp4")) as reader, pytest.raises(SettingsError, match=message):
        spec_for(reader, Settings.of(options), tmp_path / "x.mp4", width=160, height=96)


@pytest.mark.parametrize("option", [{"crf": 20}, {"speed": "fast"}])
def test_lossless_encoders_have_no_quality(media, tmp_path, option):
    settings = Settings.of({"encoder": "ffv1", **option})
    with PyavReader(media("plain.mp4")) as reader, pytest.raises(SettingsError, match="ffv1"):
        spec_for(reader, settings, tmp_path / "x.mkv", width=160, height=96)


def test_odd_sides_with_shared_chroma_are_refused_with_the_remedy(media, tmp_path):
    with PyavReader(media("odd.mkv")) as reader:
        assert spec_for(reader, Settings.of({}), tmp_path / "x.mp4", width=161, height=97).encoding.pix_fmt == "yuv444p"
        with pytest.raises(SettingsError, match="even sides"):
            make_spec(
                reader.info.video, (), Settings.of({"pix_fmt": "yuv420p"}), tmp_path / "x.mp4", width=161, height=97
            )


def test_an_unknown_preset_is_refused_and_nothing_is_left(media, tmp_path):
    with PyavReader(media("plain.mp4")) as reader:
        spec = make_spec(
            reader.info.video, (), Settings.of({"speed": "warp"}), tmp_path / "x.mp4", width=160, height=96
        )
    with pytest.raises(SettingsError, match="refuses"):
        VideoWriter(tmp_path / "s.mp4", spec)
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_removes_the_file(media, tmp_path):
    with PyavReader(media("plain.mp4")) as reader:
        spec = spec_for(reader, Settings.of({}), tmp_path / "x.mp4", width=160, height=96)
    path = tmp_path / "s.mp4"
    with pytest.raises(ValueError), VideoWriter(path, spec) as writer:
        writer.write(torch.rand(2, 96, 160), 0)
    assert not path.exists()


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
def test_the_same_pictures_give_the_same_bytes(media, tmp_path, encoder):
    with PyavReader(media("plain.mp4")) as reader:
        settings = Settings.of({"encoder": encoder})
        spec = spec_for(reader, settings, tmp_path / "x.mp4", width=160, height=96)
        pictures = [frame.rgb() for frame in reader.frames()][:20]
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, spec) as writer:
            for index, picture in enumerate(pictures):
                writer.write(picture, index * 512)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("size", "written"), [((160, 96), None), ((1280, 768), "smpte170m")], ids=["same guess", "another guess"]
)
def test_untagged_pictures_are_tagged_where_players_would_change_their_guess(media, tmp_path, size, written):
    width, height = size
    with PyavReader(media("plain.mp4")) as reader:
        spec = spec_for(reader, Settings.of({}), tmp_path / "x.mp4", width=width, height=height)
        assert spec.color.matrix == written
        hd = make_spec(
            reader.info.video, (), Settings.of({"colorspace": "bt709"}), tmp_path / "x.mp4", width=width, height=height
        )
    assert hd.color.matrix == "bt709"


def test_x264_gives_the_same_bytes_whatever_memory_held(sample, tmp_path):
    """Its AVX-512 code does not: on a processor that has it, a third of these runs differed."""
    path = tmp_path / "x.mp4"
    with PyavReader(sample) as reader:
        frames = [frame.rgb() for frame in reader.frames()][22:25]
        spec = spec_for(reader, Settings.of({}), path, width=416, height=176)
    pictures = [torch.nn.functional.interpolate(frame[None], scale_factor=2, mode="bicubic")[0] for frame in frames]
    results = set()

    def write(seed: int) -> None:
        rng = np.random.default_rng(seed)
        litter = [np.full(rng.integers(100, 200_000), rng.integers(0, 2**31), np.int32) for _ in range(40)]
        del litter
        with VideoWriter(path, spec) as writer:
            for i, picture in enumerate(pictures):
                writer.write(picture.clamp(0, 1), round(i / (spec.frame_rate * spec.time_base)))
        results.add(path.read_bytes())

    for seed in range(60):
        thread = Thread(target=write, args=(seed,))  # each has memory of its own
        thread.start()
        thread.join()
    assert len(results) == 1


@pytest.mark.parametrize(
    ("width", "speed", "short"), [(4096, "medium", True), (2048, "medium", False), (4096, "ultrafast", False)]
)
def test_x264_looks_less_far_ahead_where_frames_are_large(media, tmp_path, width, speed, short):
    with PyavReader(media("plain.mp4")) as reader:
        spec = spec_for(reader, Settings.of({"speed": speed}), tmp_path / "x.mp4", width=width, height=2048)
    context = av.CodecContext.create("libx264", "w")
    configure(context, spec, spec.time_base)
    assert ("rc-lookahead=10" in context.options.get("x264-params", "")) == short
    assert context.thread_count == (4 if short else 8)
    context.open()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_segments_have_times_of_decoding(media, tmp_path, count):
    """Of two frames x265 gives any number that memory held."""
    path = tmp_path / "x.mp4"
    with PyavReader(media("plain.mp4")) as reader:
        pictures = [frame.rgb() for frame in reader.frames()][:count]
        spec = spec_for(reader, Settings.of({"encoder": "libx265"}), path, width=128, height=96)
    for _ in range(20):
        with VideoWriter(path, spec) as writer:
            for i, picture in enumerate(pictures):
                writer.write(picture, round(i / (spec.frame_rate * spec.time_base)))
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        assert len(packets) == count
        assert all(-3 / spec.frame_rate < float((p.dts - p.pts) * p.time_base) <= 0 for p in packets)
