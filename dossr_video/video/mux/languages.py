"""Language codes: ISO 639-2 has two codes for some languages, and QuickTime supports a fixed list only."""

from __future__ import annotations

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


def written_in_quicktime(language: str) -> str | None:
    """The code that a .mov stores for a language; None when it has none."""
    return next((code for code in (language, _TWINS.get(language, "")) if code in _QUICKTIME), None)


def same_language(a: str | None, b: str | None) -> bool:
    """Whether two ISO 639-2 codes name one language."""
    return a == b or (a is not None and _TWINS.get(a) == b)
