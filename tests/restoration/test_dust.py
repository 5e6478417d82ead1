"""Planted specks are found and replaced; what moves, flickers or stays is left alone."""

from __future__ import annotations

import base64
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.jobs.run import run_job
from dossr_video.models.registry import load_model
from dossr_video.report.run import run_page
from dossr_video.restoration.dirt import DIRTY, MANY, measure_dust
from dossr_video.restoration.dust import DustState, mend, specks_in
from dossr_video.settings import Settings
from dossr_video.temporal.flow import DisFlow

H, W, FRAMES = 96, 144, 5


def scene(*, speed: float = 1.5, flicker: float = 0.0) -> Tensor:
    """(T, 3, H, W): a texture that slides, with grain, and an exposure that flickers."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((H, W + 40, 3), np.float32), (0, 0), 2.5)
    texture = (texture - texture.mean()) / texture.std() * 0.1 + 0.45
    shifts = [np.float32([[1, 0, -speed * t], [0, 1, 0]]) for t in range(FRAMES)]
    clip = np.stack([cv2.warpAffine(texture, shift, (W + 40, H), borderMode=cv2.BORDER_REFLECT) for shift in shifts])
    clip = clip[:, :, 20:-20] * rng.normal(1, flicker, (FRAMES, 1, 1, 1)) + rng.normal(0, 0.012, (FRAMES, H, W, 3))
    return torch.from_numpy(clip.astype(np.float32)).permute(0, 3, 1, 2).clamp(0, 1).contiguous()


def dirty(clip: Tensor, *, many: int = 3) -> tuple[Tensor, Tensor]:
    """The clip with specks on every frame, bright and dark, no two alike, and where they are (T, H, W)."""
    rng = np.random.default_rng(1)
    marked = clip.clone()
    for frame in marked:
        picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        for i in range(many):
            x, y, wide, high = (int(16 * value) for value in rng.uniform((6, 6, 1, 1), (W - 6, H - 6, 3.5, 3.5)))
            color = (rng.uniform(0, 0.1) if i % 2 else rng.uniform(0.85, 1),) * 3
            points = cv2.ellipse2Poly((x, y), (wide, high), int(rng.integers(180)), 0, 360, 20)
            cv2.fillPoly(picture, [points], color, cv2.LINE_AA, 4)
        frame[:] = torch.from_numpy(picture).permute(2, 0, 1)
    return marked, (marked - clip).abs().mean(1) > 0.04


def flow(frame: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, two = (torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in (frame, other))
    return DisFlow()(one, two)[0].numpy()


def mended(clip: Tensor, *, sensitivity: float = 0.5) -> tuple[Tensor, np.ndarray]:
    state, frames, masks = DustState(), [], []
    pictures = [*clip.permute(0, 2, 3, 1).contiguous().numpy(), None]
    for frame, after in pairwise(pictures):
        result, state = mend(frame, after, state, flow, sensitivity=sensitivity)
        frames.append(result.picture)
        masks.append(result.specks)
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2), np.stack(masks)


INSIDE = slice(1, -1)  # the first and the last frame of a shot have one neighbour only


@pytest.mark.parametrize(("speed", "flicker"), [(0, 0), (1.5, 0), (1.5, 0.03)], ids=["still", "pan", "pan-flicker"])
def test_most_planted_specks_are_found(speed: float, flicker: float) -> None:
    clean = scene(speed=speed, flicker=flicker)
    marked, planted = dirty(clean, many=2)
    result, found = mended(marked)
    inside = planted[INSIDE].numpy()
    hit = found[INSIDE] & inside
    assert hit.sum() > 0.66 * inside.sum()  # some look like one in a frame beside
    error, before = (((clip - clean)[INSIDE].abs().mean(1)[hit]).mean() for clip in (result, marked))
    assert error < 0.12 * before


@pytest.mark.parametrize(("speed", "flicker"), [(0, 0), (1.5, 0), (1.5, 0.03)], ids=["still", "pan", "pan-flicker"])
def test_a_clean_clip_has_none(speed: float, flicker: float) -> None:
    _, found = mended(scene(speed=speed, flicker=flicker))
    assert found.mean() < 0.001


def test_the_first_and_the_last_frame_stay() -> None:
    marked, _ = dirty(scene())
    result, found = mended(marked)
    assert torch.equal(result[[0, -1]], marked[[0, -1]])
    assert not found[[0, -1]].any()


def with_things(kind: str) -> Tensor:
    clip = scene()
    rng = np.random.default_rng(2)
    drops = rng.uniform(0, 1, (30, 2)) * (W, H)
    speeds = {"snow": (2, 5), "rain": (1, 17)}.get(kind, (0, 0))
    sparks = rng.normal(0, 7, (40, 2))
    for t in range(FRAMES):
        picture = np.ascontiguousarray(clip[t].permute(1, 2, 0).numpy())
        if kind == "ball":
            picture[40:46, 20 + 12 * t : 26 + 12 * t] = 0.95
        elif kind == "subtitle" and t >= 2:
            cv2.putText(letters := np.zeros((H, W), np.uint8), "Fin.", (30, 80), 0, 0.7, 255, 1, cv2.LINE_AA)
            picture += (0.95 - picture) * (letters / 255).astype(np.float32)[..., None]
        elif (kind == "lamp" and t in (1, 2)) or (kind == "blinking" and t % 2):
            picture[20:24, 60:64] = 0.98
        elif kind == "pole":
            picture[:, 70:72] = 0.05
        elif kind in ("snow", "rain"):
            for x, y in (drops + np.array(speeds) * t) % (W, H):
                length = 0 if kind == "snow" else 6
                cv2.line(picture, (int(x), int(y)), (int(x), int(y) + length), (0.9,) * 3, 2, cv2.LINE_AA)
        elif kind == "sparks":
            for i, speed in enumerate(sparks):
                if 0 <= (age := t + 3 - i % 6) < 5:
                    x, y = np.array([70, 50]) + speed * (age + 1) + (0, 0.3 * age**2)
                    cv2.circle(picture, (int(x), int(y)), 1, (1.0, 0.9, 0.7), -1, cv2.LINE_AA)
        elif kind == "flash" and t == 2:
            picture = (picture * 2).clip(0, 1)
        elif kind == "fade":
            picture = picture * (1 - t / FRAMES)
        clip[t] = torch.from_numpy(picture).permute(2, 0, 1)
    return clip


THINGS = ("ball", "subtitle", "lamp", "pole", "snow", "rain", "sparks", "flash", "fade")


@pytest.mark.parametrize("kind", THINGS)
def test_what_is_no_dust_stays(kind: str) -> None:
    _, found = mended(with_things(kind))
    assert found.mean() < 0.001


def test_a_light_that_blinks_is_taken_for_dust_once_at_most() -> None:
    _, found = mended(torch.cat([with_things("blinking")[:4]] * 2))
    assert found[:, 20:24, 60:64].any((1, 2)).sum() <= 1


def test_a_whip_pan_is_left_alone() -> None:
    clip = torch.stack([torch.roll(frame, 60 * t, 2) for t, frame in enumerate(scene(speed=0))])
    assert mended(clip)[1].mean() < 0.001


def test_more_sensitivity_finds_more() -> None:
    marked, _ = dirty(scene())
    low, high = (mended(marked, sensitivity=value)[1].sum() for value in (0.05, 0.95))
    assert high > low > 0


def test_a_frame_depends_on_eight_before_it_and_one_after_alone() -> None:
    marked, _ = dirty(torch.cat([scene(), scene().flip(0)[1:], scene()[1:]]))
    whole, _ = mended(marked)
    part, _ = mended(marked[3:])
    assert torch.equal(whole[11:], part[8:])


def test_specks_are_counted() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[10:12, 10:14] = True
    assert specks_in(mask) == 2
    assert specks_in(np.zeros((4, 4), bool)) == 0


@pytest.mark.parametrize("length", [1, 2, 5])
def test_chunks_do_not_matter_and_the_option_does(length: int) -> None:
    marked, planted = dirty(scene())
    model = load_model("bicubic", device="cpu", dtype="float32")
    off, on = (upscale_frames(marked, model=model, scale=2, dust=dust, chunk=length) for dust in (0.0, 0.5))
    assert torch.equal(on, upscale_frames(mended(marked)[0], model=model, scale=2, dust="off"))
    specks = torch.nn.functional.interpolate(planted[1:4, None].float(), scale_factor=2)[:, 0] > 0
    assert (on - off)[1:4].abs().mean(1)[specks].mean() > 0.15


def test_auto_mends_what_is_dirty_and_nothing_else() -> None:
    clean = torch.cat([scene(), scene().flip(0)[1:]])
    marked, _ = dirty(clean)
    model = load_model("bicubic", device="cpu", dtype="float32")
    for clip, mends in ((clean, 0.0), (marked, 0.5)):
        auto, told = (upscale_frames(clip, model=model, scale=2, dust=dust) for dust in ("auto", mends))
        assert torch.equal(auto, told)
    found = measure_dust([(255 * marked.mean(1)).byte().numpy()])
    assert found is not None
    assert 1 < found.specks < 4
    assert found.dirty
    assert measure_dust([]) is None


def test_what_few_frames_show_makes_no_dirty_film() -> None:
    clip = torch.cat([scene(), scene()[1:]])
    for t in (3, 5):
        clip[t] = dirty(clip, many=6)[0][t]
    found = measure_dust([(255 * clip.mean(1)).byte().numpy()])
    assert found is not None
    assert found.area > DIRTY
    assert found.count >= MANY
    assert not found.dirty


def filmed(sample: Path, kind: str) -> tuple[Tensor, np.ndarray]:
    """Decoded frames with things that move over them, and where these are (T, H, W)."""
    with av.open(str(sample)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 9)]
    marks = [np.zeros(frame.shape[:2], np.uint8) for frame in frames]
    for t, (frame, mark) in enumerate(zip(frames, marks, strict=True)):
        if kind == "strobe" and t % 2:
            frame[:] = 0
            mark[:] = 255
        elif kind == "disc":
            cv2.circle(mark, (20 + 16 * t, 44), 9, 255, -1, cv2.LINE_AA)
        elif kind == "birds":
            for i in range(4):
                place = 5 + 25 * i + (8 + 2 * i) * t, 10 + 13 * i + (4 if (i + t) % 3 else -2)
                cv2.circle(mark, place, 2, 255, -1, cv2.LINE_AA)
        elif kind == "ball":  # it turns every other frame, and goes out of the picture and comes back
            cv2.circle(mark, (200 - 18 * (t % 2) + 6 * (t // 2 % 2), 70 - 16 * (t % 2)), 3, 255, -1, cv2.LINE_AA)
        color = np.array({"disc": (220, 30, 30), "birds": (20, 20, 20)}.get(kind, (240, 240, 60)))
        if kind != "strobe":
            share = mark[..., None] / 255
            frame[:] = (frame * (1 - share) + color * share).round()
    clip = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    return clip, np.stack(marks) > 0


@pytest.mark.parametrize("kind", ["disc", "birds", "ball", "strobe"])
def test_what_moves_over_a_filmed_picture_stays(sample: Path, kind: str) -> None:
    clip, things = filmed(sample, kind)
    assert not (mended(clip)[1] & things).any()
    found = measure_dust([(255 * clip.mean(1)).byte().numpy()])
    assert found is not None
    assert not found.dirty


def test_the_report_counts_the_specks_of_each_shot(tmp_path: Path, tiny: Settings) -> None:
    marked, _ = dirty(scene())
    other = 1 - 0.5 * scene(speed=0)
    source = tmp_path / "film.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = W, H, "yuv444p"
        for picture in (*marked, *other):
            pixels = picture.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    report = run_job(source, tmp_path / "result.mkv", tiny.model_copy(update={"dust": "auto"}))
    assert report.shots == 2
    assert 4 <= report.specks[0] <= 12
    assert report.specks[1] == 0
    assert report.lines == (0, 0)
    where = cv2.imdecode(np.frombuffer(base64.b64decode(report.dust_maps[0]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert where.shape == (18, 32)
    assert 0 < (where > 0).mean() < 0.2
    assert report.dust_maps[1] == ""
    page = tmp_path / "report.html"
    run_page(report, source, tmp_path / "result.mkv", page)
    assert report.dust_maps[0] in page.read_text()
    assert report.settings.restoration.dust == 0.5
