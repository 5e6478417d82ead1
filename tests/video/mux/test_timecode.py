from __future__ import annotations

from fractions import Fraction

import pytest

from dossr_video.video.mux.timecode import relabelled

PAL, NTSC, FILM = Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("code", "frames", "rate", "new_rate", "wanted"),
    [
        ("10:20:30:05", 0, PAL, PAL, "10:20:30:05"),
        ("10:20:30:05", 45, PAL, PAL, "10:20:32:00"),
        ("23:59:59:24", 1, PAL, PAL, "00:00:00:00"),
        ("10:20:30:05", 0, PAL, 2 * PAL, "10:20:30:10"),
        ("00:00:59;29", 1, NTSC, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, NTSC, "00:10:00;00"),
        ("00:10:59;29", 1, NTSC, NTSC, "00:11:00;02"),
        ("01:00:00;00", 107892, NTSC, NTSC, "02:00:00;00"),
        ("00:00:59:29", 1, NTSC, NTSC, "00:01:00:00"),
        ("00:01:00;02", 0, NTSC, 2 * NTSC, "00:01:00;04"),
        ("01:00:00;10", 0, NTSC, FILM, "01:00:00:08"),
        ("no code", 7, PAL, PAL, "no code"),
    ],
)
def test_frames_are_counted_as_the_standard_says(code, frames, rate, new_rate, wanted):
    assert relabelled(code, frames / rate, rate=rate, new_rate=new_rate) == wanted
