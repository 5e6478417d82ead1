"""Broadcasts whose pixel aspect or colour tags change on the way: one aspect for all, every frame by its own range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader

CODECS = {
    "mpeg2": ["-c:v", "mpeg2video", "-q:v", "2", "-g", "5", "-bf", "2"],
    "x264": ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "5", "-bf", "2"],
}


def _joined(media, folder: Path, *variants: list[str], picture: str = "color=white:size=96x64") -> Path:
    """Half a second of each variant, in order of time."""
    parts = []
    for n, variant in enumerate(variants):
        path = folder / f"{n}.ts"
        media.ffmpeg(
            *f"-f lavfi -i {picture}:rate=20:duration=0.5".split(), *variant, "-output_ts_offset", 0.7 * n, path
        )
        parts.append(path.read_bytes())
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("first", "second", "black"), [("4/3", "16/9", "rows"), ("16/9", "4/3", "columns")])
def test_frames_of_another_aspect_are_fitted_to_the_first(media, tmp_path, codec, first, second, black):
    source = _joined(media, tmp_path, *(["-vf", f"setdar={dar}", *CODECS[codec]] for dar in (first, second)))
    with PyavReader(source) as reader:
        frames = [(frame.pts, frame.digest(), frame.luma()) for frame in reader.frames()]
        assert [damage.what.split(";")[0] for damage in reader.damage if "aspect" in damage.what]
    assert "the pixel aspect changes on the way" in "\n".join(analyse(probe(source), Settings.of({})).explain())
    assert len(frames) == 20
    assert all(luma.min() > 200 for _, _, luma in frames[:10])
    for _, _, luma in frames[10:]:
        lines = luma.mean(1) if black == "rows" else luma.mean(0)
        share = np.mean(lines < 40)
        assert share == pytest.approx(0.25, abs=0.04)
        assert lines[: int(share * len(lines) / 2) - 1].max() < 40
        assert lines[len(lines) // 2] > 200
    with PyavReader(source) as reader:
        later = [(frame.pts, frame.digest()) for frame in reader.frames(frames[13][0])]
    assert later == [frame[:2] for frame in frames[13:]]


def test_every_frame_is_converted_by_its_own_range(media, tmp_path):
    """The same samples, declared as limited and then as full range."""
    limited = ["-pix_fmt", "yuv420p", *CODECS["x264"]]
    full = [*limited, "-bsf:v", "h264_metadata=video_full_range_flag=1"]
    source = _joined(media, tmp_path, limited, full, picture="color=0x40a0e0:size=96x64")
    with PyavReader(source) as reader:
        means = [(frame.rgb().mean((1, 2)) * 255).tolist() for frame in reader.frames()]
        assert sum("pc range" in damage.what for damage in reader.damage) == 1
    assert "range or matrix change on the way" in "\n".join(analyse(probe(source), Settings.of({})).explain())
    assert len(means) == 20
    for mean in means[:10]:
        assert mean == pytest.approx([64, 160, 224], abs=2)
    for mean in means[10:]:  # 219 codes of luma in place of 255
        assert mean == pytest.approx([71, 153, 208], abs=3)


TAGS = "{}_metadata=video_full_range_flag=1:colour_primaries=1:transfer_characteristics=1:matrix_coefficients=1"


@pytest.mark.parametrize("first", [1, 10])
@pytest.mark.parametrize("suffix", [".ts", ".mkv", ""])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_frames_before_a_change_of_tags_keep_their_own(media, tmp_path, codec, suffix, first):
    """The same samples without tags, then with tags; the decoder returns B-frames after the packet of the change."""
    encoder = ["-c:v", {"h264": "libx264", "hevc": "libx265"}[codec], "-bf", 2, "-g", 50]
    parts = [tmp_path / f"{n}{(suffix and '.ts') or '.' + codec}" for n in range(2)]
    for part, frames, tags in zip(parts, (first, 10), ([], ["-bsf:v", TAGS.format(codec)]), strict=True):
        picture = ["-f", "lavfi", "-i", "color=0x40a0e0:size=96x64:rate=25", "-vf", "format=yuv420p", "-frames:v"]
        media.ffmpeg(*picture, frames, *encoder, *tags, part)
    source = tmp_path / f"joined{suffix or '.' + codec}"
    if suffix:
        listed = tmp_path / "list.txt"
        listed.write_text("".join(f"file '{part}'\n" for part in parts))
        media.ffmpeg("-f", "concat", "-safe", 0, "-i", listed, "-c", "copy", source)
    else:
        source.write_bytes(b"".join(part.read_bytes() for part in parts))

    def means(reader, *start):
        return [(frame.pts, (frame.rgb().mean((1, 2)) * 255).tolist()) for frame in reader.frames(*start)]

    with PyavReader(source) as reader:
        frames = means(reader)
        changes = [damage.seconds for damage in reader.damage if "colours change" in damage.what]
    assert len(frames) == first + 10
    assert len(changes) == 1
    for n, (_, mean) in enumerate(frames):
        assert mean == pytest.approx([64, 160, 224] if n < first else frames[-1][1], abs=2), n
    assert np.abs(np.subtract(frames[-1][1], frames[0][1])).max() > 8
    with PyavReader(source) as reader:
        assert means(reader, frames[first + 2][0]) == frames[first + 2 :]
