"""What a run did, for `--json-report`, for Python and for the catalogue."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dossr_video.runspec import RunSpec
from dossr_video.video.mux.proof import Proof


class Report(BaseModel):
    """A finished job. Everything in it can be written as JSON."""

    model_config = ConfigDict(frozen=True)

    source: str  # path or URL
    target: str
    version: str  # of this program
    settings: RunSpec
    weights: str  # sha256
    processing: tuple[str, ...]  # what was found about the source and what was done for it, one line each
    frames: int  # written
    duplicates: int  # of them, the frame before again, not computed
    shots: int
    segments: int
    resumed: int  # segments that an earlier run had finished
    size: int  # bytes of the result
    seconds: float  # of this run
    work_seconds: float  # of all segments, whichever run and worker did them
    kept: str  # what was carried over and found right, one line
    proof: Proof  # what was found when the result was read back
    lost: tuple[str, ...]  # what the target cannot hold, one line each
    damage: tuple[str, ...]  # of the source, one line each
    warnings: tuple[str, ...]  # one line each

    def dumps(self) -> str:
        return self.model_dump_json(indent=2)

    def summary(self) -> str:
        """The last line a person sees."""
        resumed = f", {self.resumed} of {self.segments} segments from an earlier run" if self.resumed else ""
        return f"{self.frames} frames in {self.seconds:.1f} s{resumed}; {self.kept}"
