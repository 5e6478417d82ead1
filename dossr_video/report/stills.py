"""The frames that a page shows, of every file, as pictures that fit into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dossr_video.quality.track import Measured
from dossr_video.report.moments import Picture, picture_of
from dossr_video.report.places import Place
from dossr_video.report.plots import clock, time_end
from dossr_video.video.info import VideoInfo
from dossr_video.video.read.pyav import VideoReader

MOST = 40  # stills of a page
BYTES = 5_500_000  # of all pictures of a page: as base64 a third more
BYTES_PER_PIXEL = 0.12  # of WebP at the first quality, measured on film with grain
QUALITIES = (88, 78, 68, 56, 44)  # of WebP: the first that fits
SMALLEST = 32  # pixels wide: nothing is made smaller than this to fit
THUMBNAIL = 160  # pixels wide
FULL = 32.0  # of 255: the difference that has the last colour of the map


@dataclass(frozen=True)
class Images:
    """The pictures of one moment as data: addresses."""

    layers: dict[str, str]  # by key: the file's number, or `map-NUMBER`; files that have ended have none
    thumbnail: str


@dataclass(frozen=True)
class Still:
    """One moment in all files, as it stands in the page."""

    anchor: str  # its name in the page
    seconds: float
    label: str  # below the thumbnail
    caption: str  # below the pictures
    images: Images
    mark: str = ""  # why it should be looked at, in a word


def choose(measured: Measured, places: Iterable[Place]) -> dict[int, str]:
    """Frames to show and why: the middle of every shot, and places to look at.

    Of more than MOST shots, those are shown whose results differ most from the source.
    """
    chosen: dict[int, str] = {}
    for place in places:
        if place.frame in chosen or len(chosen) < MOST // 2:
            chosen[place.frame] = "; ".join(filter(None, (chosen.get(place.frame), place.what)))
    largest = np.max([np.nan_to_num(track.difference) for track in measured.tracks], axis=0)
    by_difference = sorted(measured.shots, key=lambda shot: -float(largest[shot.start : shot.stop].mean()))
    for shot in by_difference[: MOST - len(chosen)]:
        chosen.setdefault((shot.start + shot.stop) // 2, "the middle of the shot")
    return dict(sorted(chosen.items()))


def by_interest(measured: Measured, chosen: Iterable[int], marks: Mapping[int, str]) -> list[int]:
    """The chosen frames: those with a mark first, then those that differ most from the source."""
    largest = np.max([np.nan_to_num(track.difference) for track in measured.tracks], axis=0)
    return sorted(chosen, key=lambda frame: (frame not in marks, -float(largest[frame])))


def take(
    measured: Measured, readers: Sequence[VideoReader], chosen: dict[int, str], marks: Mapping[int, str]
) -> list[Still]:
    """The chosen frames of every file, the source's first, small enough for one page; `marks`: words by frame."""
    area = sum(reader.info.video.width * reader.info.video.height for reader in readers)
    shrink = fitting(len(chosen) * area)
    rows = []
    for frame in chosen:
        pictures = {
            number: _read(reader, int(track.pts[frame]))
            for number, (reader, track) in enumerate(zip(readers, measured.tracks, strict=True))
            if track.pts[frame] >= 0
        }
        rows.append(layers(pictures, shrink=shrink))
    stills = []
    for (frame, reason), images in zip(chosen.items(), encoded(rows), strict=True):
        seconds, shot = float(measured.seconds[frame]), measured.shot_of(frame) + 1
        label = f"shot {shot} · {clock(seconds, places=time_end(measured) < 10)}"
        caption = f"Shot {shot}, frame {frame}, {seconds:.3f} s: {reason}"
        stills.append(Still(f"frame-{frame}", seconds, label, caption, images, marks.get(frame, "")))
    return stills


def fitting(pixels: int) -> float:
    """By how much the sides of pictures of so many pixels in all must shrink to fit into a page."""
    return min(1.0, (BYTES / BYTES_PER_PIXEL / pixels) ** 0.5)


def layers(pictures: dict[int, Picture], *, shrink: float) -> dict[str, Picture]:
    """Pictures of one moment by the file's number, 0 the source's, and the maps of their differences from it."""
    found = {str(number): picture for number, picture in pictures.items()}
    found |= {f"map-{n}": difference_map(pictures[0], picture) for n, picture in pictures.items() if n}
    return {key: _smaller(picture, shrink) for key, picture in found.items()}


def encoded(rows: Sequence[dict[str, Picture]]) -> list[Images]:
    """Every row the layers of a moment; at the best quality with which all fit into a page, smaller if none does."""
    for quality in QUALITIES:
        files = [{key: _webp(picture, quality) for key, picture in row.items()} for row in rows]
        size = sum(len(file) for row in files for file in row.values())
        if size <= BYTES:
            break
    else:  # noise alone: what is left of a picture at the last quality is larger than foreseen
        if max(picture.shape[1] for row in rows for picture in row.values()) > SMALLEST:
            shrink = 0.95 * (BYTES / size) ** 0.5
            return encoded([{key: _smaller(picture, shrink) for key, picture in row.items()} for row in rows])
    return [
        Images({key: _address(file) for key, file in found.items()}, _thumbnail(row))
        for row, found in zip(rows, files, strict=True)
    ]


def upright(picture: Picture, video: VideoInfo) -> Picture:
    """As a player shows it: turned as the file says."""
    return np.ascontiguousarray(np.rot90(picture, round(video.rotation / 90)))


def shape(video: VideoInfo) -> tuple[int, int]:
    """Width and height as a player shows it: square pixels, turned."""
    width, height = round(video.width * (video.sample_aspect_ratio or 1)), video.height
    return (height, width) if round(video.rotation / 90) % 2 else (width, height)


def difference_map(source: Picture, result: Picture) -> Picture:
    """Where a result, scaled down to the source's size, differs from it: dark where it agrees, bright from FULL on."""
    height, width = source.shape[:2]
    again = cv2.resize(result.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    difference = cv2.blur(np.abs(again - source).mean(2), (3, 3))
    return colored((difference * (255 / FULL)).clip(0, 255).astype(np.uint8))


def colored(codes: NDArray[np.uint8]) -> Picture:
    """Codes (H, W) in the colours of the map."""
    return np.ascontiguousarray(cv2.applyColorMap(codes, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def _read(reader: VideoReader, pts: int) -> Picture:
    return upright(picture_of(next(reader.frames(pts))), reader.info.video)


def _thumbnail(row: dict[str, Picture]) -> str:
    """Of the last file that has not ended."""
    picture = next(row[key] for key in reversed(row) if key.isdigit())
    return _address(_webp(_smaller(picture, THUMBNAIL / picture.shape[1]), QUALITIES[1]))


def _smaller(picture: Picture, factor: float) -> Picture:
    if factor >= 1:
        return picture
    return resized(picture, (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))))


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """At `size` (width, height)."""
    smaller = size[0] < picture.shape[1]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))


def _webp(picture: Picture, quality: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="WEBP", quality=quality, method=2)
    return data.getvalue()


def _address(file: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(file).decode()
