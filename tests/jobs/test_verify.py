"""`dossr-video verify`: what it says of old results that are whole, changed, damaged or of another source."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dossr_video.cli.commands import main
from dossr_video.errors import ProofError, SourceError, TargetError
from dossr_video.jobs.proving import verify
from dossr_video.jobs.report import report_of
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings


@pytest.fixture(scope="module", params=[{}, {"start": 0.3, "duration": 1.2}], ids=["whole", "cut"])
def made(
    request: pytest.FixtureRequest, clip: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A result with its report beside it, and its source."""
    target = tmp_path_factory.mktemp("verify") / "out.mp4"
    report = run_job(clip, target, tiny.model_copy(update=request.param))
    report_of(target).write_text(report.dumps())
    return target, clip


@pytest.fixture
def copied(made: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same, to be changed."""
    target = tmp_path / "copy.mp4"
    shutil.copy(made[0], target)
    shutil.copy(report_of(made[0]), report_of(target))
    return target, made[1]


def failed(result: Path, source: Path | None = None) -> dict[str, str]:
    found = verify(result, source, on_frame=lambda count: None)
    with pytest.raises(ProofError, match="is not what was made on 20"):
        found.require()
    return {check["name"]: check["found"] for check in found.as_json()["checks"] if not check["passed"]}


def test_a_result_that_is_whole_passes_under_any_name(copied: tuple[Path, Path]) -> None:
    result, source = copied
    frames: list[int] = []
    found = verify(result, source, on_frame=frames.append)
    assert found.passed
    assert {"file", "streams", "timestamps", "pictures", "metadata"} <= {c["name"] for c in found.as_json()["checks"]}
    assert frames[-1] == found.report.frames
    assert "timestamps exact" in found.summary()
    assert "proved" not in verify(result, on_frame=lambda count: None).summary()


def test_the_proof_is_the_one_that_the_job_made(copied: tuple[Path, Path]) -> None:
    found = verify(*copied, on_frame=lambda count: None)
    assert found.proof == found.report.proof


def test_what_of_a_changed_file_is_as_it_was(copied: tuple[Path, Path], tmp_path: Path) -> None:
    result, source = copied
    other = tmp_path / "other.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(result), "-c", "copy", "-map_metadata", "-1", str(other)], check=True
    )
    shutil.copy(report_of(result), report_of(other))
    wrong = failed(other, source)
    assert {"file", "metadata"} <= wrong.keys()
    assert "streams" not in wrong  # the packets of both streams are what they were


def test_a_flipped_bit_is_found_in_its_stream(copied: tuple[Path, Path]) -> None:
    result, _ = copied
    content = bytearray(result.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    result.write_bytes(content)
    wrong = failed(result)
    assert wrong["file"].startswith("other bytes than were written")
    assert "holds other packets" in wrong["streams"]


def test_a_file_cut_short_is_no_video_any_more(copied: tuple[Path, Path]) -> None:
    result, _ = copied
    content = result.read_bytes()
    result.write_bytes(content[:200])
    assert failed(result).keys() == {"file", "streams"}


def test_pictures_are_held_against_the_source(copied: tuple[Path, Path]) -> None:
    result, source = copied
    negative = result.with_name("negative.mp4")
    subprocess.run(
        [
            *["ffmpeg", "-v", "error", "-i", str(result), "-vf", "negate", "-fps_mode", "passthrough", "-c:a", "copy"],
            *["-enc_time_base", "demux", "-video_track_timescale", "1000", str(negative)],
        ],
        check=True,
    )
    shutil.copy(report_of(result), report_of(negative))
    assert "colour" in failed(negative, source)


def test_a_missing_report_a_foreign_source_and_another_format_are_told(
    copied: tuple[Path, Path], sample: Path, tmp_path: Path
) -> None:
    result, _ = copied
    with pytest.raises(SourceError, match=r"is not the file that the result was made of: .*clip\.mp4"):
        verify(result, sample, on_frame=lambda count: None)
    with pytest.raises(SourceError, match="does not exist"):
        verify(result, tmp_path / "none.mp4", on_frame=lambda count: None)
    with pytest.raises(TargetError, match="does not exist"):
        verify(tmp_path / "none.mp4", on_frame=lambda count: None)
    report_of(result).write_text('{"format": 1}')
    with pytest.raises(TargetError, match="is not a report that this version reads"):
        verify(result, on_frame=lambda count: None)
    report_of(result).unlink()
    with pytest.raises(TargetError, match="a result is verified by the report of its run") as refused:
        verify(result, on_frame=lambda count: None)
    assert f"add --json-report {report_of(result)} to the run" in refused.value.hint


def test_a_result_that_failed_its_first_proof_does_not_pass(copied: tuple[Path, Path]) -> None:
    result, _ = copied
    report = json.loads(report_of(result).read_text())
    report["proof"]["checks"][0]["passed"] = False
    report_of(result).write_text(json.dumps(report))
    assert failed(result)["proof"].startswith("it failed when it was made")


def test_the_command(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result, source = copied
    report = tmp_path / "report of the run.json"
    report_of(result).rename(report)
    code = _code(monkeypatch, "verify", str(result), str(source), "--json-report", str(report), "--quiet")
    said = capsys.readouterr()
    assert code == 0
    assert said.out.startswith(f"{result} is what was made on 20")
    assert len(said.out.splitlines()) == 1
    result.write_bytes(result.read_bytes() + b"\0")
    code = _code(monkeypatch, "verify", str(result), "--json-report", str(report), "--json")
    said = capsys.readouterr()
    assert code == 3
    assert json.loads(said.out)["passed"] is False
    assert "error: " in said.err
    code = _code(monkeypatch, "verify", str(result), "--quiet")
    assert code == 1
    assert "--json-report" in capsys.readouterr().err


def _code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["dossr-video", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
