from __future__ import annotations

from pathlib import Path

import av
import pytest

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.video.mux.proof import _metadata
from dossr_video.video.read.probe import probe


@pytest.fixture(scope="module")
def clips(make_clip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:  # type: ignore[no-untyped-def]
    """A clip without a comment, one with, and one with every entry that a note could take."""
    folder = tmp_path_factory.mktemp("clips")
    made = {"plain": make_clip(folder / "plain.mp4", [5])}
    entries = {"commented": ["comment"], "full": ["comment", "description", "synopsis"]}
    for name, keys in entries.items():
        made[name] = folder / f"{name}.mp4"
        with av.open(str(made["plain"])) as given, av.open(str(made[name]), "w") as copy:
            copy.metadata.update(dict.fromkeys(keys, "mine"))
            streams = {s.index: copy.add_stream_from_template(s) for s in given.streams}
            for packet in given.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    copy.mux(packet)
    return made


def test_mov_keeps_entries_that_only_its_flag_for_any_keys_stores(
    clips: dict[str, Path], tiny: Settings, tmp_path: Path
) -> None:
    run_job(clips["full"], tmp_path / "out.mov", tiny.model_copy(update={"provenance": False}))
    metadata = probe(tmp_path / "out.mov").metadata
    assert [metadata.get(key) for key in ("comment", "description", "synopsis")] == ["mine"] * 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_result_says_what_made_its_picture(
    clips: dict[str, Path], suffix: str, tiny: Settings, tmp_path: Path
) -> None:
    for name, key in (("plain", "comment"), ("commented", "description")):
        target = tmp_path / f"{name}{suffix}"
        report = run_job(clips[name], target, tiny)
        metadata = {k.lower(): v for k, v in probe(target).metadata.items()}
        assert metadata[key] == report.settings.provenance
        assert metadata["comment"] == ("mine" if key == "description" else metadata[key])
        assert metadata[key].startswith("enlarged by interpolation: dossr-video ")
        assert report.settings.model.weights[:12] in metadata[key]
        assert report.proof.passed


def test_a_result_of_a_network_says_so(clips: dict[str, Path], tiny: Settings, tmp_path: Path) -> None:
    run_job(clips["plain"], tmp_path / "out.mp4", tiny.model_copy(update={"model": "compact", "scale": 4}))
    comment = probe(tmp_path / "out.mp4").metadata["comment"]
    assert comment.startswith("restored by a neural network: dossr-video ")
    assert "model compact" in comment


def test_the_note_can_be_left_out(clips: dict[str, Path], tiny: Settings, tmp_path: Path) -> None:
    report = run_job(clips["plain"], tmp_path / "out.mp4", tiny.model_copy(update={"provenance": False}))
    assert "comment" not in probe(tmp_path / "out.mp4").metadata
    assert report.settings.provenance is None


def test_no_entry_of_the_source_gives_way(clips: dict[str, Path], tiny: Settings, tmp_path: Path) -> None:
    report = run_job(clips["full"], tmp_path / "out.mp4", tiny)
    metadata = probe(tmp_path / "out.mp4").metadata
    assert [metadata[key] for key in ("comment", "description", "synopsis")] == ["mine"] * 3
    assert any("no metadata entry is free for the note" in warning for warning in report.warnings)


def test_the_proof_misses_a_note_that_is_not_there(clips: dict[str, Path]) -> None:
    info = probe(clips["commented"])
    assert _metadata(info, info, frozenset(), {}, tagged=True).passed
    check = _metadata(info, info, frozenset(), {"description": "restored"}, tagged=True)
    assert not check.passed
    assert check.found == "description is missing"
