"""Side data of the video: every kind has its place in the inventory, and is copied, or named before the work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
from av.packet import PktSideDataT
from av.sidedata.sidedata import Type
from PIL import Image, ImageCms

from dossr_video.errors import SettingsError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.mux.inventory import FRAMES, PACKETS, side_data_losses
from dossr_video.video.mux.sei import messages_of, with_messages
from dossr_video.video.read.probe import probe
from dossr_video.video.read.side_data import BRIGHTER, UNNAMED, frame_side_data

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-pix_fmt", "yuv420p"]


def _caption(n: int) -> bytes:
    """An ATSC message (T.35) with one pair of characters in line 21, of odd parity."""
    pair = bytes(c | (0x80 if c.bit_count() % 2 == 0 else 0) for c in (65 + n % 26, 97 + n % 26))
    return b"\xb5\x00\x31GA94\x03\x41\xff\xfc" + pair + b"\xff"


@pytest.fixture(scope="module")
def captioned(media, tmp_path_factory) -> Path:
    """H.264 with B-frames; captions from the third frame on, another in each."""
    folder = tmp_path_factory.mktemp("captions")
    media.ffmpeg(*["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.8"], *X264, folder / "plain.mp4")
    path = folder / "captions.mp4"
    with av.open(str(folder / "plain.mp4")) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                n = round(packet.pts * packet.time_base * 25)
                content = with_messages(bytes(packet), "libx264", [(4, _caption(n))]) if n > 1 else bytes(packet)
                new = av.Packet(content)
                new.pts, new.dts, new.duration, new.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.duration,
                    packet.time_base,
                )
                new.is_keyframe, new.stream = packet.is_keyframe, stream
                made.mux(new)
    return path


def _captions(path: Path) -> Iterator[bytes | None]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame_side_data(frame).get("A53_CC")


def test_every_kind_of_side_data_has_its_place():
    assert set(FRAMES) == {kind.name for kind in Type} | {BRIGHTER, *UNNAMED.values()}
    assert set(PACKETS) == set(get_args(PktSideDataT))


def test_a_kind_that_is_not_in_the_inventory_is_named(captioned, tmp_path):
    source = probe(captioned)
    video = analyse(source, Settings.of({}), target=tmp_path / "x.mp4").video
    assert video is not None
    assert side_data_losses({"NEW_KIND"}, source.video, video.encoding) == (
        "side data of an unknown kind, NEW_KIND: not written",
    )


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_captions_stay_with_their_frames(captioned, tmp_path, encoder):
    settings = Settings.of({"model": "bicubic", "scale": 2, "encoder": encoder})
    assert (
        "metadata: closed captions (CEA-608/708); copied to the frames of the result"
        in analyse(probe(captioned), settings, target=tmp_path / "x.mp4").explain()
    )
    report = run_job(captioned, tmp_path / "result.mp4", settings)
    assert report.lost == ()
    wanted = list(_captions(captioned))
    assert [entry is None for entry in wanted] == [True] * 2 + [False] * 18
    assert len(set(wanted)) == 19
    assert list(_captions(tmp_path / "result.mp4")) == wanted


def test_captions_of_a_part_and_of_mpeg2(captioned, media, tmp_path):
    source = tmp_path / "source.ts"
    media.ffmpeg("-i", captioned, *["-c:v", "mpeg2video", "-a53cc", "1", "-q:v", "2"], source)
    assert [entry for entry in _captions(source) if entry] == [entry for entry in _captions(captioned) if entry]
    settings = Settings.of({"model": "bicubic", "scale": 2, "start": 0.2, "duration": 0.4})
    run_job(source, tmp_path / "result.mp4", settings)
    assert list(_captions(tmp_path / "result.mp4")) == list(_captions(source))[5:15]


def test_captions_are_named_before_the_work_where_they_are_lost(captioned, tmp_path):
    target = tmp_path / "result.mkv"
    lost = analyse(probe(captioned), Settings.of({"encoder": "ffv1"}), target=target).lost
    assert [line.split(":")[0] for line in lost] == ["closed captions (CEA-608/708)"]
    with pytest.raises(SettingsError, match="--strict: closed captions"):
        run_job(captioned, target, Settings.of({"encoder": "ffv1", "strict": True, "model": "bicubic"}))
    assert not target.exists()


def test_side_data_that_begins_late_is_named_before_upscaling(media, captioned, tmp_path):
    """The samples that are analysed first hold 144 frames of a short file."""
    (tmp_path / "list.txt").write_text("".join(f"file '{path}'\n" for path in (tmp_path / "long.mp4", captioned)))
    media.ffmpeg(*["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=8"], *X264, tmp_path / "long.mp4")
    source = tmp_path / "source.mp4"
    media.ffmpeg(*["-f", "concat", "-safe", "0", "-i"], tmp_path / "list.txt", "-c", "copy", source)
    settings = Settings.of({"model": "bicubic", "width": 32, "height": 24, "encoder": "ffv1"})
    assert analyse(probe(source), settings, target=tmp_path / "result.mkv").lost == ()
    events = []
    report = run_job(source, tmp_path / "result.mkv", settings, on_progress=events.append)
    assert [line.split(":")[0] for line in report.lost] == ["closed captions (CEA-608/708)"]
    [warned] = [event for event in events if event.warnings]
    assert warned.stage == "analysing"
    with pytest.raises(SettingsError, match="--strict: closed captions"):
        run_job(source, tmp_path / "other.mkv", settings.model_copy(update={"strict": True}))


@pytest.mark.parametrize("mode", ["left_right", "top_bottom"])
def test_a_stereoscopic_arrangement_is_written_again_or_named(media, tmp_path, mode):
    source = tmp_path / "stereo.mkv"
    media.ffmpeg(
        *["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.2"], *X264,
        *["-metadata:s:v:0", f"stereo_mode={mode}"], source,
    )  # fmt: skip
    for suffix, encoder in ((".mp4", "libx264"), (".mkv", "ffv1")):
        settings = Settings.of({"model": "bicubic", "scale": 2, "encoder": encoder})
        assert run_job(source, tmp_path / f"result{suffix}", settings).lost == ()
        assert probe(tmp_path / f"result{suffix}").video.stereo == probe(source).video.stereo is not None
    lost = analyse(probe(source), Settings.of({"encoder": "libx265"}), target=tmp_path / "other.mp4").lost
    assert [line.split(" (")[0] for line in lost] == ["stereoscopic arrangement"]


def test_motion_jpeg_with_exif_is_read_and_named(media, tmp_path):
    """PyAV has no name for it."""
    media.ffmpeg(*["-f", "lavfi", "-i", "testsrc2=size=64x48", "-frames:v", "1"], tmp_path / "plain.jpg")
    plain = (tmp_path / "plain.jpg").read_bytes()
    described = b"\x0e\x01\x02\0\x04\0\0\0abc\0"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + described + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    (tmp_path / "exif.mjpeg").write_bytes(
        (plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]) * 3
    )
    media.ffmpeg("-i", tmp_path / "exif.mjpeg", "-c", "copy", tmp_path / "exif.mov")
    lost = analyse(probe(tmp_path / "exif.mov"), Settings.of({}), target=tmp_path / "result.mp4").lost
    assert lost == ("EXIF data but for the orientation: not written",)


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_messages_with_start_codes_inside_go_through_a_packet(encoder):
    """Emulation prevention: zeros in a payload must not look like a start code."""
    payload = bytes(range(4)) + bytes(600) + b"\0\0\1\0\0\3\0\0\2"
    slice_unit = b"\x65" if encoder == "libx264" else b"\x26\x01"
    packet = (len(slice_unit) + 2).to_bytes(4, "big") + slice_unit + b"ab"
    made = with_messages(packet, encoder, [(4, payload), (5, b"u" * 300)])
    assert b"\0\0\1" not in made[4:]
    assert made.endswith(packet)
    assert messages_of(made, {"libx264": "h264", "libx265": "hevc"}[encoder], 4) == [(4, payload), (5, b"u" * 300)]


def test_colour_profiles_and_exif_of_pictures_are_named_and_their_orientation_kept(tmp_path):
    """In processes of their own: PyAV frees the name of a PNG's profile twice, which ended them."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = exif.tobytes()
    exif[0x010F] = "the maker of the camera"
    for name, options in (("scan.png", {}), ("turned.jpg", {"exif": turned}), ("photo.jpg", {"exif": exif})):
        picture = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
        picture.save(tmp_path / name, icc_profile=profile, **options)
        command = [sys.executable, "-m", "dossr_video", name, f"{name}.mp4", "--model", "bicubic"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        assert "ICC colour profile: not written" in made.stderr
        assert ("EXIF data" in made.stderr) == (name == "photo.jpg")
    for name in ("turned.jpg.mp4", "photo.jpg.mp4"):
        assert probe(tmp_path / name).video.display_matrix is not None


@pytest.mark.parametrize(("tags", "named"), [({}, False), ({0x010F: "the maker of the camera"}, True)])
def test_a_tiff_of_nothing_but_its_layout_loses_nothing(tmp_path, tags, named):
    exif = Image.Exif()
    exif.update(tags)
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "scan.tif", exif=exif, software="a scanner")
    lost = analyse(probe(tmp_path / "scan.tif"), Settings.of({}), target=tmp_path / "result.mkv").lost
    assert [line.split(" data")[0] for line in lost] == ["EXIF"] * named
