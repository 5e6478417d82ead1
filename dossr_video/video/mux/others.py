"""The streams of one file that become tracks of the result: the source's own, or those of a file that is added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import av

from dossr_video.names import shown
from dossr_video.video.mux.packets import Clock, PacketSelector, PacketWriter, TimedPacket, add_output_stream
from dossr_video.video.mux.streams import StreamMapping

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer


class OtherStreams:
    """Reads the packets of one file's streams, and writes them as those of the result."""

    def __init__(
        self,
        container: InputContainer,
        planned: Iterable[StreamMapping],
        *,
        selects: PacketSelector,
        clock: Clock,
        packets: int | None,
    ) -> None:
        """`planned`: the mappings of this file's streams; `packets`: how many of the file are read, None: all."""
        self.warnings: list[str] = []
        self.writers: dict[int, PacketWriter] = {}  # by the index of the stream in its file
        self.filled: set[int] = set()  # those of which something was written, by their index among all
        self._container = container
        self._planned = {place_of(mapping): mapping for mapping in planned}
        self._selects = selects
        self._clock = clock
        self._packets = packets

    def add(self, stream: Any, made: OutputContainer) -> None:
        """Add a stream of the file to the result, if it is planned."""
        if stream.index not in self._planned:  # of another program
            return
        writer = add_output_stream(self._planned[stream.index], stream, made, self._clock)
        if writer is not None:
            self.writers[stream.index] = writer

    def unfilled(self) -> Iterator[StreamMapping]:
        """What was added and got no packets."""
        for index in self.writers:
            if self._planned[index].stream.index not in self.filled:
                yield self._planned[index]

    def packets(self) -> Iterator[TimedPacket]:
        """Packets for the result in file order, up to a read error, which is a warning."""
        streams = [self._container.streams[index] for index in self.writers]
        if not streams:
            return
        packets = filter(self._selects, islice(self._container.demux(streams), self._packets))
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.warnings.append(f"{self._kinds()}: reading stopped: {error.strerror}")
                packet = None
            if packet is None:
                break
            yield from self._written(packet.stream.index, self.writers[packet.stream.index].write(packet))
        for index, writer in self.writers.items():
            yield from self._written(index, writer.flush())
            self.warnings += writer.warnings

    def _kinds(self) -> str:
        origins = (mapping.stream.origin for mapping in self._planned.values())
        name = next((shown(origin.file.path.name) for origin in origins if origin is not None), None)
        return name or "audio and subtitles"

    def _written(self, index: int, packets: Iterator[TimedPacket]) -> Iterator[TimedPacket]:
        for packet in packets:
            self.filled.add(self._planned[index].stream.index)
            yield packet


def place_of(mapping: StreamMapping) -> int:
    """The index of a mapping's stream in the file that holds it."""
    origin = mapping.stream.origin
    return mapping.stream.index if origin is None else origin.index
