"""Random access through torchcodec, on an NVIDIA GPU where there is one; the frames come back to the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dossr_video.errors import SourceError
from dossr_video.video.files import name_of
from dossr_video.video.read.indexed import IndexedReader


class TorchcodecReader(IndexedReader):
    """See IndexedReader."""

    name = "torchcodec"

    def _open(self, path: Path) -> Any:
        import torch

        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, OSError, RuntimeError) as error:  # of a library that it needs, too
            said = str(error).strip().splitlines()
            raise SourceError(
                f"torchcodec is not installed, or does not load: {said[0] if said else type(error).__name__}",
                hint='pip install "dossr-video[torchcodec]"; it needs FFmpeg\'s shared libraries and a torch for CUDA',
            ) from error
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            return VideoDecoder(
                name_of(path), dimension_order="NHWC", seek_mode="exact", num_ffmpeg_threads=1, device=device
            )
        except (RuntimeError, ValueError) as error:
            raise self.refused(path, "it cannot open the file") from error

    def _picture(self, index: int) -> Any:
        return self._frames[index].cpu().numpy()
