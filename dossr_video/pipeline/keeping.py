"""What a segment has done so far, kept on the disk: a run that was stopped or killed goes on there."""

from __future__ import annotations

import hashlib
import io
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from dossr_video.diffusion.noise import NoiseState
from dossr_video.pipeline.latents import ShotState
from dossr_video.restoration.dust import DustState
from dossr_video.segments import Dirt
from dossr_video.temporal.blend import BlendState
from dossr_video.temporal.exposure import ExposureState

EVERY = 120.0  # seconds of work that a crash may cost
QUICK = 20.0  # seconds; of a segment that is done so soon nothing is kept
SMALL = 2**26  # bytes of frames that are held in memory until then
FAST = 2**24  # bytes of frames a second, from which on nothing is kept either: such a segment does not take long
DIGEST = hashlib.blake2b().digest_size  # bytes, before the state
LENGTH = struct.Struct("<q")  # of a frame, bytes


@dataclass(frozen=True, eq=False)
class LightState:
    """What the steps before the model leave to the next chunk of a shot; the default begins a shot."""

    previous: torch.Tensor | None = None  # the last frame (3, H, W)
    exposure: ExposureState = field(default_factory=ExposureState)
    dust: DustState = field(default_factory=DustState)
    dirt: Dirt = field(default_factory=Dirt)  # so far, in frames that are written


@dataclass(frozen=True, eq=False)
class Done:
    """How far a segment is."""

    written: int = 0  # frames
    computed: int = 0  # frames that went through the model, those of the lead-in too
    seconds: float = 0.0  # of work
    warnings: tuple[str, ...] = ()
    before: LightState = field(default_factory=LightState)
    shot: ShotState = field(default_factory=ShotState)


STATES: list[Any] = [Done, Dirt, LightState, ExposureState, DustState, ShotState, NoiseState, BlendState]
"""All that is read back from a file, beside tensors and plain values: nothing else is unpickled."""


class Keeper:
    """Keeps the frames that were encoded, and the state after the last of them, beside the segment's file.

    An encoder cannot be stopped and started again; it gets the frames once more.
    """

    def __init__(self, path: Path, key: str) -> None:
        """`path` is that of the segment, `key` tells what was asked for."""
        self._frames, self._state = path.with_suffix(".frames"), path.with_suffix(".state")
        self._key = key
        self._waiting: list[bytes] | None = []  # None: the segment is quick
        self._size = 0  # bytes of all frames
        self._digest = hashlib.blake2b()
        self._began = self._kept = time.monotonic()

    def load(self, device: torch.device | str) -> Done:
        """What an earlier run has kept; a Done of nothing where there is none, or it is not as it was written."""
        try:
            content = memoryview(self._state.read_bytes())
            digest, content = content[:DIGEST], content[DIGEST:]
            if digest != hashlib.blake2b(content).digest():
                return Done()
            with torch.serialization.safe_globals(STATES):
                data = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            del digest, content
            with self._frames.open("rb") as file:
                found = self._digest.copy()
                while self._size < data["size"] and (block := file.read(min(1 << 20, data["size"] - self._size))):
                    found.update(block)
                    self._size += len(block)
        except Exception:  # whatever is wrong with it: the segment is computed again
            self._size = 0
            return Done()
        if data["key"] != self._key or found.hexdigest() != data["frames"]:
            self._size = 0
            return Done()
        self._digest, self._waiting = found, []
        return _with_planes(data["done"], lambda plane: plane.cpu().numpy())

    def frames(self) -> Iterator[bytes]:
        """The frames that were kept."""
        if not self._size:
            return
        with self._frames.open("rb") as file:
            while file.tell() < self._size:
                yield file.read(*LENGTH.unpack(file.read(LENGTH.size)))

    def add(self, frame: Callable[[], bytes]) -> None:
        """The next frame that was encoded; it is called only where the segment is slow."""
        if self._waiting is None:
            return
        content = frame()
        self._waiting.append(LENGTH.pack(len(content)) + content)
        held, seconds = sum(map(len, self._waiting)), time.monotonic() - self._began
        if seconds > QUICK or (held > SMALL and held < FAST * seconds):
            self._write()
        elif held > SMALL:
            self._waiting = None

    def is_due(self) -> bool:
        """Whether so much work was done since that it is worth keeping."""
        return time.monotonic() - self._kept > EVERY

    def keep(self, done: Done) -> bool:
        """Write down how far the segment is; False where it is too quick for that."""
        if self._waiting is None or time.monotonic() - self._began < QUICK:
            return False
        self._write()
        if self._waiting is None:
            return False
        data: dict[str, Any] = {"key": self._key, "size": self._size, "frames": self._digest.hexdigest()}
        data["done"] = _with_planes(done, torch.from_numpy)
        temporary = self._state.with_suffix(".part")
        with self._giving_up():
            with temporary.open("wb") as file:
                file.write(bytes(DIGEST))
                content = _Hashed(file)
                torch.save(data, cast(BinaryIO, content))
                file.seek(0)
                file.write(content.digest())
            temporary.replace(self._state)
        self._kept = time.monotonic()
        return self._waiting is not None

    def remove(self) -> None:
        """Forget what was kept."""
        self._state.unlink(missing_ok=True)
        self._frames.unlink(missing_ok=True)

    def _write(self) -> None:
        """To the file, behind what was kept; what a run that was killed has written after that goes away."""
        assert self._waiting is not None
        waiting, self._waiting = self._waiting, []
        with self._giving_up(), self._frames.open("r+b" if self._size else "wb") as file:
            file.truncate(self._size)
            file.seek(self._size)
            for content in waiting:
                file.write(content)
                self._digest.update(content)
                self._size += len(content)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """A disk that is full or fails ends the keeping, not the work."""
        try:
            yield
        except OSError:
            self._waiting = None
            with suppress(OSError):
                self.remove()


class _Hashed:
    """A file that `torch.save` writes to: what a large frame leaves is not held in memory once more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.blake2b()
        self._error: OSError | None = None

    def write(self, content: memoryview) -> int:
        self._digest.update(content)
        if self._error is None:
            try:
                self._file.write(content)
            except OSError as error:  # raised later: PyTorch would go on writing, and end in another error
                self._error = error
        return len(content)

    def flush(self) -> None:
        """The file is closed soon."""

    def digest(self) -> bytes:
        """Of all that was written. Raises OSError when the disk did not take it."""
        if self._error is not None:
            raise self._error
        return self._digest.digest()


def _with_planes(done: Done, change: Callable[[Any], Any]) -> Done:
    """The same with other arrays in the state of dust: as tensors they are read back without unpickling."""
    dust = done.before.dust
    previous = None if dust.previous is None else change(dust.previous)
    seen, moved = tuple(map(change, dust.seen)), tuple(map(change, dust.moved))
    return replace(done, before=replace(done.before, dust=replace(dust, previous=previous, seen=seen, moved=moved)))
