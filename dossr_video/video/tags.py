"""Colour tags: ITU-T H.273 code points by FFmpeg's names, and the defaults for untagged video."""

from __future__ import annotations

from dataclasses import dataclass, replace

UNSPECIFIED = 2  # the code point of "unknown" in all three tables

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
RANGES = {1: "tv", 2: "pc"}

LUMA_WEIGHTS = {  # (red, blue) of each matrix: ITU-T H.273 table 4
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})  # PQ and HLG

_WORDS = {
    "bt709": "BT.709", "bt470bg": "BT.601 (625 lines)", "smpte170m": "BT.601 (525 lines)", "smpte240m": "SMPTE 240M",
    "bt2020": "BT.2020", "bt2020nc": "BT.2020", "bt2020c": "BT.2020 constant luminance", "bt2020-10": "BT.2020",
    "bt2020-12": "BT.2020", "smpte2084": "PQ (HDR)", "arib-std-b67": "HLG (HDR)", "iec61966-2-1": "sRGB",
    "smpte432": "Display P3", "smpte431": "DCI-P3", "gbr": "RGB", "tv": "limited range", "pc": "full range",
}  # fmt: skip


def in_words(tag: str) -> str:
    """A tag as standards call it; FFmpeg's name where there is no other."""
    return _WORDS.get(tag, tag)


def matrix_in_words(tag: str) -> str:
    """The same of a matrix, which BT.601 has one of for both numbers of lines."""
    return "BT.601" if tag in ("bt470bg", "smpte170m") else in_words(tag)


@dataclass(frozen=True)
class ColorInfo:
    """The colour tags of a picture, in FFmpeg's names; None where the file says nothing."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None  # of Y'CbCr; "gbr" for RGB
    range: str | None = None  # "tv" (limited) or "pc" (full)
    chroma_location: str | None = None  # "left", "center" or "topleft"; None where chroma is not subsampled

    @property
    def hdr(self) -> bool:
        """Whether values above reference white are coded (PQ or HLG)."""
        return self.transfer in HDR_TRANSFERS

    def describe(self) -> str:
        """In words: `BT.709, limited range`, or `matrix BT.601; not tagged: primaries, transfer, range`."""
        named = {"primaries": self.primaries, "transfer": self.transfer, "matrix": self.matrix}
        words = {name: in_words(tag) for name, tag in named.items() if tag is not None}
        alike = len(words) == 3 and len(set(words.values())) == 1
        if not alike and self.matrix is not None:
            words["matrix"] = matrix_in_words(self.matrix)
        told = [words["matrix"]] if alike else [f"{name} {word}" for name, word in words.items()]
        told += [in_words(self.range)] if self.range else []
        missing = [name for name, tag in {**named, "range": self.range}.items() if tag is None]
        if not told or not missing:
            return ", ".join(told) or "not tagged"
        return f"{', '.join(told)}; not tagged: {', '.join(missing)}"

    def resolved(self, *, width: int, height: int) -> ColorInfo:
        """These tags, with missing matrix, range and chroma location filled in as players do.

        Untagged video of more than 1024 columns or 576 lines counts as BT.709, smaller video as BT.601. Matrices that
        are not linear in R'G'B' (constant luminance, ICtCp) are replaced by BT.2020 or the default: the conversion
        back uses the same matrix, so only the model sees a difference.
        """
        guess = "bt709" if width > 1024 or height > 576 else "smpte170m"
        matrix = self.matrix if self.matrix in LUMA_WEIGHTS else "bt2020nc" if self.primaries == "bt2020" else guess
        return replace(self, matrix=matrix, range=self.range or "tv", chroma_location=self.chroma_location or "left")


def code_point(table: dict[int, str], name: str | None) -> int:
    """The number of a tag's name; UNSPECIFIED for None."""
    return next((number for number, known in table.items() if known == name), UNSPECIFIED)
