#!/usr/bin/env python3
"""Pack training pictures into a folder of at most so many megabytes, to take to another machine:

    pack_pictures.py OUT DIR ... --megabytes 55

Every .jpg, .jpeg and .png of the folders becomes a JPEG of quality 92, none enlarged. Those larger than a side that all
of them share are cut to a square of that side, where there is most detail, for sharp detail is what is learnt from.
The largest such side is used that keeps the folder within its megabytes (10^6 bytes). Names follow the order of the
sources, so the same photographs are held out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST, LARGEST = 256, 4096  # sides that are tried, pixels; a training crop has 192
TRIES = 6
Image = NDArray[np.uint8]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--megabytes", type=float, default=55.0)
    return parser.parse_args()


def busiest(image: Image, side: int) -> Image:
    """The square of an image (H, W, 3) with the most detail; sides of at most `side` pixels stay as they are."""
    height, width = (min(side, size) for size in image.shape[:2])
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    detail = cv2.integral((grey - cv2.blur(grey, (5, 5))) ** 2)
    sums = detail[height:, width:] - detail[:-height, width:] - detail[height:, :-width] + detail[:-height, :-width]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return image[y : y + height, x : x + width]


def packed(files: list[Path], side: int) -> Iterator[bytes]:
    """The pictures as JPEG files."""
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise SystemExit(f"{file} is not a picture that OpenCV reads; take it out of the folder")
        yield cv2.imencode(".jpg", busiest(np.asarray(image, np.uint8), side), [cv2.IMWRITE_JPEG_QUALITY, 92])[
            1
        ].tobytes()


def largest_side(files: list[Path], limit: float) -> int:
    """The largest side whose files have at most `limit` bytes together, by halving the range that is left."""
    fits, too_large = 0, LARGEST
    for _ in range(TRIES):
        side = max(int((max(fits, SMALLEST) * too_large) ** 0.5), SMALLEST)
        size = sum(len(data) for data in packed(files, side))
        print(f"{side} pixels: {size / 1e6:.1f} MB", flush=True)
        if size <= limit:
            fits = side
        else:
            too_large = side
    if not fits:
        raise SystemExit(f"{len(files)} pictures take more than {limit / 1e6:g} MB at any size; pack fewer of them")
    return fits


def main() -> None:
    options = arguments()
    files = [
        file
        for folder in options.folders
        for file in sorted(folder.glob("*"))
        if file.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not files:
        raise SystemExit(f"no .jpg, .jpeg or .png in {', '.join(map(str, options.folders))}")
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(f"{options.out} is not empty; name a new folder")
    side = largest_side(files, options.megabytes * 1e6)
    options.out.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(packed(files, side)):
        (options.out / f"{i:05}.jpg").write_bytes(data)
    print(f"{len(files)} pictures, sides of at most {side} pixels, in {options.out}")


if __name__ == "__main__":
    main()
