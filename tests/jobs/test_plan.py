from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dossr_video.errors import JobError, SettingsError, SourceError
from dossr_video.jobs import fingerprint
from dossr_video.jobs.fingerprint import Fingerprint, SourceMark, added_file
from dossr_video.jobs.plan import LEAD_IN, PIECE, Plan, cut_into_segments, make_plan, piece_length
from dossr_video.jobs.resolve import resolve_sampling
from dossr_video.runspec import RunSpec, SamplingSpec
from dossr_video.segments import Segment
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.probe import probe

MakePlan = Callable[[Path, Settings], Plan]
Resolved = Callable[..., tuple[SourceInfo, RunSpec]]

SECOND = 16000  # ticks of the clip
FIRST = 16000  # pts of its first frame


@pytest.fixture
def plan(resolved: Resolved) -> MakePlan:
    return lambda source, settings: make_plan(*resolved(source, settings), on_frame=lambda done: None)


def test_the_plan_of_a_clip_holds_its_shots_times_and_repeats(clip: Path, tiny: Settings, plan: MakePlan) -> None:
    made = plan(clip, tiny)
    assert [(s.shot, s.start, s.stop, s.lead_in) for s in made.segments] == [
        (0, 0, 9, 0), (1, 9, 17, 0), (2, 17, 29, 0), (3, 29, 36, 0), (4, 36, 46, 0), (5, 46, 54, 0)
    ]  # fmt: skip
    assert made.frames == 54
    assert made.shots == 6
    assert made.segments[0].first_pts == FIRST
    assert [[i for i, duplicate in enumerate(s.duplicates) if duplicate] for s in made.segments] == [[3]] * 6
    assert made.duplicates == 6


def test_is_the_same_whoever_makes_it_and_whatever_the_machine(clip: Path, tiny: Settings, plan: MakePlan) -> None:
    other = tiny.model_copy(update={"chunk": 7, "threads": 3, "device": "cpu"})
    assert plan(clip, tiny) == plan(clip, other)


def test_the_line_about_the_model_tells_the_network_calls(clip: Path, tiny: Settings, resolved: Resolved) -> None:
    _, spec = resolved(clip, tiny)
    assert "), 1 network call, float" in spec.describe_model()
    spec = replace(spec, sampling=SamplingSpec(5, 3, False, "landing", "mean", "none"))
    assert "), 5 network calls, float" in spec.describe_model()
    spec = replace(spec, temporal=replace(spec.temporal, warm_start=3))
    assert "), 5 network calls, 3 after a shot's first frame, float" in spec.describe_model()


def test_goes_through_json_unchanged(clip: Path, tiny: Settings, plan: MakePlan) -> None:
    made = plan(clip, tiny)
    assert Plan.loads(made.dumps(), path=Path("plan.json")) == made


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(JobError, match=r"plan\.json is not a plan") as refusal:
        Plan.loads(b'{"format": 99}', path=Path("plan.json"))
    assert "--restart" in refusal.value.hint


def test_a_damaged_plan_is_none(clip: Path, tiny: Settings, plan: MakePlan) -> None:
    whole = plan(clip, tiny).dumps()
    for content in (b"", b"{}", b"[]", b"\x00", whole[:-1], whole.replace(b'"stop": 9', b'"stop": 8')):
        assert content != whole
        assert Plan.loads(content, path=Path("plan.json")) is None


@pytest.mark.parametrize(("start", "duration"), [(0.0, None), (1.0, None), (0.0, 0.5), (1.0, 0.5), (2.0, 9.0)])
def test_start_and_duration_count_from_the_first_frame(
    clip: Path, tiny: Settings, plan: MakePlan, start: float, duration: float | None
) -> None:
    cut = plan(clip, tiny.model_copy(update={"start": start, "duration": duration}))
    begin, end = FIRST + start * SECOND, FIRST + (start + (duration or 99)) * SECOND
    wanted = [pts for s in plan(clip, tiny).segments for pts in s.pts if begin <= pts < end]
    assert [pts for s in cut.segments for pts in s.pts] == wanted
    assert 0 < len(wanted) <= 54


def test_a_start_after_the_end_is_refused(clip: Path, tiny: Settings, plan: MakePlan) -> None:
    with pytest.raises(SourceError, match="has no frames after 60"):
        plan(clip, tiny.model_copy(update={"start": 60.0}))


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_every_frame_is_in_exactly_one_segment(lengths: list[int]) -> None:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    total = sum(lengths)
    segments = cut_into_segments(
        range(total), [False] * total, starts, [None] * len(starts), lead_in=LEAD_IN, piece=PIECE
    )
    assert [i for s in segments for i in range(s.start, s.stop)] == list(range(total))
    assert [s.index for s in segments] == list(range(len(segments)))
    for segment in segments:
        first, last = starts[segment.shot], starts[segment.shot] + lengths[segment.shot]
        assert first <= segment.start - segment.lead_in
        assert segment.stop <= last
        assert segment.lead_in == min(LEAD_IN, segment.start - first)
        assert len(segment) >= min(last - first, PIECE * 2 // 3)
        assert len(segment) <= PIECE * 3 // 2
        assert segment.pts.tolist() == list(range(segment.start - segment.lead_in, segment.stop))
        assert Segment.of_json(segment.as_json()) == segment


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40))
def test_uneven_times_and_repeats_go_through_json_unchanged(frames: list[tuple[int, bool]]) -> None:
    pts = list(accumulate(step for step, _ in frames))
    for segment in cut_into_segments(
        pts, [duplicate for _, duplicate in frames], [0], [None], lead_in=LEAD_IN, piece=PIECE
    ):
        assert Segment.of_json(json.loads(json.dumps(segment.as_json()))) == segment


def test_a_piece_computes_its_first_frame_though_it_repeats_the_one_before() -> None:
    segments = cut_into_segments(range(400), [False] + [True] * 399, [0], [None], lead_in=LEAD_IN, piece=PIECE)
    assert len(segments) > 1
    assert all(s.duplicates[0] == 0 and all(s.duplicates[1:]) for s in segments)


@pytest.mark.parametrize(("size", "frames"), [((720, 576), 150), ((1280, 720), 67), ((1920, 1080), 48)])
def test_segments_of_larger_pictures_have_fewer_frames(clip: Path, size: tuple[int, int], frames: int) -> None:
    video = replace(probe(clip).video, width=size[0], height=size[1])
    assert piece_length(video) == frames


def test_a_file_is_told_from_itself_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    before = SourceMark.of(path)
    modified = before.glance.modified
    assert SourceMark.of(path) == before
    os.utime(path, ns=(0, modified + 1))
    assert SourceMark.of(path, before) == before
    os.utime(path, ns=(0, modified))
    for position in (0, 150_000, 299_999):
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"x")
        os.utime(path, ns=(0, modified))
        after = SourceMark.of(path, before)
        assert (after.glance.size, after.glance.modified) == (before.glance.size, modified)
        assert after.glance.sample != before.glance.sample
        assert after != before
        before = after


def test_a_file_is_read_whole_only_where_its_date_leaves_it_open(
    tmp_path: Path, edit: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4_000_000))
    before = SourceMark.of(path)
    read, sha256 = [], fingerprint.sha256
    monkeypatch.setattr(fingerprint, "sha256", lambda *arguments: (read.append(path), sha256(*arguments))[1])
    assert SourceMark.of(path, before) is before
    assert not read
    edit(path)
    after = SourceMark.of(path, before)
    assert len(read) == 1
    assert after.glance.sample == before.glance.sample
    [date, content] = before.changes_to(after)
    assert (date[:16], content[:15]) == ("input modified: ", "input content: ")


def test_an_added_file_that_was_edited_in_place_is_another(tmp_path: Path, edit: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4_000_000))
    before = added_file(path, "audio")
    os.utime(path, (1, 1))
    assert added_file(path, "audio") == before
    edit(path)
    assert added_file(path, "audio") != before


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537])
def test_marks_files_of_any_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    assert SourceMark.of(path).glance.size == size


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"crf": 20.0}, "crf: 16.0 -> 20.0"),
        ({"crf": 16.0, "encoder": "libx264", "scale": 4}, None),  # what they are anyway
        ({"blend": "latent"}, "blend: pixel -> latent"),
        ({"chunk": 3, "threads": 2, "device": "cpu", "max_pixels": 999_999}, None),
    ],
)
def test_names_the_settings_that_differ(
    clip: Path, resolved: Resolved, change: dict[str, Any], line: str | None
) -> None:
    _, before = resolved(clip, Settings())
    _, now = resolved(clip, Settings(**{"max_pixels": 8192**2, **change}))
    changes = Fingerprint.of(clip, before).changes_to(Fingerprint.of(clip, now))
    assert changes == ([line] if line else [])


def test_names_other_weights_and_a_default_that_changed(clip: Path, resolved: Resolved) -> None:
    """As between two versions of the program: nobody gave --steps."""
    _, before = resolved(clip, Settings(), weights="a", steps=1)
    _, now = resolved(clip, Settings(), weights="b", steps=3)
    changes = Fingerprint.of(clip, before).changes_to(Fingerprint.of(clip, now))
    assert changes == ["steps: 1 -> 3", "weights: a -> b"]


def test_every_value_of_a_run_has_a_name_of_its_own(clip: Path, resolved: Resolved) -> None:
    _, spec = resolved(clip, Settings())

    def leaves(values: dict[str, Any]) -> int:
        return sum(leaves(value) if isinstance(value, dict) else 1 for value in values.values())

    assert len(spec.flat()) == leaves(asdict(spec))


def test_nothing_is_left_to_decide(clip: Path, resolved: Resolved) -> None:
    """On a CPU a chunk is one frame: it is as fast as more, and takes the least memory."""
    _, spec = resolved(clip, Settings())
    assert (spec.machine.chunk, spec.model.dtype, spec.model.name) == (1, "float32", "compact")
    assert spec.model.reason == "auto, on a CPU, where large takes twenty to thirty times as long"
    assert (spec.video.encoding.encoder, spec.video.encoding.crf, spec.video.width) == ("libx264", 16.0, 128)
    assert "auto" not in spec.flat().values()
    assert pickle.loads(pickle.dumps(spec)) == spec  # workers are other processes
    _, other = resolved(clip, Settings(chunk=5, encoder="libx265", model="compact"))
    assert other.model.reason == "named in the options"
    assert (other.machine.chunk, other.video.encoding.encoder) == (5, "libx265")


def test_an_option_of_the_sampler_is_refused_where_the_model_has_none(clip: Path) -> None:
    with pytest.raises(SettingsError, match="bicubic samples nothing, so --steps 3 has no meaning"):
        resolve_sampling(Settings(model="bicubic", steps=3), None, model="bicubic")
