"""The proof of a result: made when the job ends, and again on any later day from the report that the job left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dossr_video.errors import ProofError, SourceError, TargetError
from dossr_video.jobs.figures import ProofFigures
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.report import FORMAT, Report, report_of
from dossr_video.jobs.resources import readable
from dossr_video.runspec import RunSpec
from dossr_video.video.files import status_of
from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.check import Check
from dossr_video.video.mux.contents import StreamRecord, read_result, records_of
from dossr_video.video.mux.proof import Proof, prove, small_pictures
from dossr_video.video.mux.remux import JoinReport
from dossr_video.video.mux.tracks import with_tracks
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.probe import probe
from dossr_video.video.read.reader import open_reader
from dossr_video.video.sequence import exists, is_numbered, is_pattern, pattern_in
from dossr_video.video.write.containers import container_named


@dataclass(frozen=True)
class Verification:
    """What was found about an old result."""

    result: Path
    report: Report
    checks: tuple[Check, ...]  # of the file and its streams
    proof: Proof | None  # against the source; None: without it

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self._all)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What passed and is out of the ordinary, one line each."""
        return () if self.proof is None else self.proof.warnings

    @property
    def _all(self) -> tuple[Check, ...]:
        return self.checks if self.proof is None else (*self.checks, *self.proof.checks)

    def summary(self) -> str:
        """One line for a result that passed."""
        said = [check.found for check in self.checks]
        said += [] if self.proof is None else [f"proved against its source: {self.proof.summary}"]
        return f"{self.result} is what was made on {self.report.finished[:10]}: {'; '.join(said)}"

    def require(self) -> None:
        """ProofError naming what is not as it was."""
        failed = [f"{check.name}: {check.found}" for check in self._all if not check.passed]
        if failed:
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise ProofError(
                f"{self.result} is not what was made on {self.report.finished[:10]}: {failed[0]}{more}",
                hint="take another copy of it; --json lists everything that was looked at",
            )

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "checks": [asdict(check) for check in self._all]}


def proven(
    target: Path,
    source: SourceInfo,
    joined: JoinReport,
    *,
    spec: RunSpec,
    frames: int,
    figures: ProofFigures | None = None,
    on_frame: Callable[[int], None],
) -> Proof:
    """Read a result back and hold it against its source, see `prove`.

    Args:
        target: The result.
        source: What it was made of.
        joined: What the result was to hold beside the picture.
        spec: What the run did.
        frames: How many of the source it was to hold.
        figures: Sees what is decoded for the proof.
        on_frame: Gets the count of frames so far.
    """
    first = None if joined.cut is None else round(joined.cut.start / spec.video.time_base)
    with open_reader(source, spec.read) as reader:
        decoded = islice(reader.frames(first), frames)
        return prove(
            target,
            reader.info,
            joined,
            spec=spec.video,
            container=container_named(spec.container),
            originals=small_pictures(figures.sources(decoded) if figures else decoded, reader.info.video),
            deflicker=spec.temporal.deflicker,
            on_picture=figures.result if figures else _unseen,
            on_frame=on_frame,
        )


def _unseen(frame: Frame) -> None:
    """Nobody looks."""


def verify(
    result: Path, source: Path | None = None, *, report: Path | None = None, on_frame: Callable[[int], None]
) -> Verification:
    """Hold an old result against its report; with the source, prove it again as the job did.

    Args:
        result: The result, under any name.
        source: What it was made of, under any name; None: the result is held against the report alone.
        report: The report that the job wrote; None: the one beside the result.
        on_frame: Gets the count of frames so far, where there is a source.

    Raises:
        TargetError: The result or its report is missing, or the report is none of this version.
        SourceError: The source cannot be read, or the result was made of another file.
    """
    if not (exists(result) and (is_numbered(result) or result.is_file())):
        what = "is no file" if result.exists() else "does not exist"
        raise TargetError(f"{result} {what}", hint="name the result of an earlier run")
    made = _read_report(report or report_of(result))
    if source is not None:
        _require_source(source, made)
    checks, proof = [_file(result, made)], None
    try:
        checks.append(_streams(result, made))
    except SourceError as error:  # not a video any more
        return Verification(result, made, (*checks, Check("streams", False, error.message)), None)
    if not made.proof.passed:
        checks.append(Check("proof", False, f"it failed when it was made: {made.proof.summary}"))
    if source is not None:
        info = _with_tracks(
            probe(source, max_pixels=made.settings.read.max_pixels, choice=made.settings.read.choice), made
        )
        proof = proven(result, info, made.joined, spec=made.settings, frames=made.frames, on_frame=on_frame)
    return Verification(result, made, tuple(checks), proof)


def _read_report(path: Path) -> Report:
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise TargetError(
            f"{path} does not exist; a result is verified by the report of its run",
            hint=f"`batch` writes one; for a single file add --json-report {path} to the run; "
            "a report of another name is given with --json-report",
        ) from error
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    except ValidationError as error:
        raise TargetError(
            f"{path} is not a report that this version reads (format {FORMAT})",
            hint="name the file that --json-report wrote, or use the version of dossr-video that wrote it",
        ) from error


def _require_source(source: Path, made: Report) -> None:
    if not (source.exists() or is_pattern(source)):
        raise SourceError(f"{source} does not exist", hint="name the file that the result was made of")
    source = pattern_in(source) if source.is_dir() else source
    if sha256(source) != made.source.sha256:
        raise SourceError(
            f"{source} is not the file that the result was made of: {made.source.path}, {made.source.size} bytes, "
            f"sha256 {made.source.sha256[:12]}",
            hint="name that file, or leave the source away",
        )


def _with_tracks(source: SourceInfo, made: Report) -> SourceInfo:
    """The source with the tracks that were added. SourceError where a file of them is not what it was."""
    paths: dict[str, list[Path]] = {"audio": [], "subtitle": []}
    for file, record in zip(made.settings.tracks, made.tracks, strict=True):
        path = Path(file.path)
        if not path.exists() or sha256(path) != record.sha256:
            raise SourceError(
                f"{path}, whose {file.kind} was added, is {'not what it was' if path.exists() else 'not there'}",
                hint="put it back, or leave the source away",
            )
        paths[file.kind].append(path)
    return with_tracks(source, audio=paths["audio"], subtitles=paths["subtitle"])


def _file(result: Path, made: Report) -> Check:
    size, digest = status_of(result).size, sha256(result)
    if size != made.target.size:
        return Check("file", False, f"{size} bytes in place of {made.target.size}")
    if digest != made.target.sha256:
        return Check("file", False, f"other bytes than were written, sha256 {digest[:12]}")
    return Check("file", True, f"{readable(size)}, sha256 {digest[:12]}")


def _streams(result: Path, made: Report) -> Check:
    """Of each stream the packets and their times: they tell what of a changed file is as it was."""
    info, contents = read_result(result, made.joined, max_pixels=made.settings.video.width * made.settings.video.height)
    found = records_of(info, contents)
    wrong = [
        difference
        for before, now in zip_longest(made.proof.streams, found)
        if (difference := _difference(before, now)) is not None
    ]
    packets = sum(record.count for record in found)
    return Check("streams", not wrong, "; ".join(wrong) or f"{len(found)} streams, {packets} packets at their times")


def _difference(before: StreamRecord | None, now: StreamRecord | None) -> str | None:
    if before is None or now is None:
        return f"{now.stream} was not there" if now else f"{before.stream if before else ''} is missing"
    if before.count != now.count:
        return f"{before.stream} has {now.count} packets in place of {before.count}"
    if before.digest != now.digest:
        return f"{before.stream} holds other packets"
    return f"{before.stream} has other times" if before.times != now.times else None
