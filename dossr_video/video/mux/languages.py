"""Language codes: ISO 639-2 has two codes for some languages, and QuickTime supports a fixed list only."""

from __future__ import annotations

import re

# Terminological and bibliographic codes of the same language.
_PAIRS = """
bod/tib ces/cze cym/wel deu/ger ell/gre eus/baq fas/per fra/fre hye/arm isl/ice kat/geo mkd/mac mri/mao msa/may mya/bur
nld/dut ron/rum slk/slo sqi/alb zho/chi
"""
_TWINS = {a: b for pair in _PAIRS.split() for a, b in (pair.split("/"), pair.split("/")[::-1])}

# Macintosh language codes that FFmpeg's mov muxer writes; measured by writing each.
_NUMBERED = """
eng fra ger ita dut spa dan por nor heb jpn ara fin gre ice mlt tur chi urd hin tha kor lit pol hun est lav rus alb ron
ces slk slv yid mac bul ukr bel uzb kaz aze arm geo mol kir tgk tuk mon pus kur kas snd tib nep san mar ben asm guj ori
mal kan tam tel sin bur khm lao vie ind tgl may amh tir orm som swa kin run nya mlg epo wel baq cat lat que grn aym tat
uig dzo jav per
"""
_QUICKTIME = frozenset(_NUMBERED.split())


# Of two letters, as files of subtitles are named: `film.de.srt`.
_SHORT = """
ar/ara bg/bul ca/cat cs/cze da/dan de/ger el/gre en/eng es/spa et/est fa/per fi/fin fr/fre he/heb hi/hin hr/hrv hu/hun
id/ind is/ice it/ita ja/jpn ko/kor lt/lit lv/lav nl/dut nb/nob nn/nno no/nor pl/pol pt/por ro/ron ru/rus sk/slk sl/slv
sq/alb sr/srp sv/swe th/tha tr/tur uk/ukr ur/urd vi/vie zh/chi
"""
_LONG = dict(pair.split("/") for pair in _SHORT.split())
_KNOWN = frozenset(_TWINS) | frozenset(_LONG.values())


def language_in(name: str) -> str | None:
    """The language that a file's name ends in, before its extension: `ger` of `film.de.srt`; None for any other."""
    parts = name.lower().split(".")
    word = parts[-2] if len(parts) > 2 else ""
    return _LONG.get(word) or (word if word in _KNOWN else None)


def written_in_quicktime(language: str) -> str | None:
    """The code that a .mov stores for a language; None when it has none."""
    return next((code for code in (language, _TWINS.get(language, "")) if code in _QUICKTIME), None)


def language_tag(muxer: str, language: str) -> str:
    """A language as FFmpeg's `muxer` takes it: mp4 and mov have codes of three letters alone, mov not all of them.

    Of `en-US` and `deu,fra` they get the first word; what they have no code for becomes "und".
    """
    if muxer not in ("mp4", "mov"):
        return language
    first = re.split("[-_,]", language)[0].lower()
    code = _LONG.get(first, first)
    if muxer == "mov":
        return written_in_quicktime(code) or "und"
    return code if re.fullmatch("[a-z]{3}", code) else "und"


def same_language(a: str | None, b: str | None) -> bool:
    """Whether two codes of ISO 639, of two letters or of three, name one language."""
    a, b = (None if code is None else _LONG.get(code, code) for code in (a, b))
    return a == b or (a is not None and _TWINS.get(a) == b)
