"""The comparison page: one HTML file, nothing else needed, with a slider between source and result."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from dossr_video.report.moments import Moment, Picture, moments
from dossr_video.settings import Settings

MOMENTS = 3
QUALITY = 92  # of the JPEG pictures inside

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1600px; margin: 2em auto; padding: 0 1em; }}
figure {{ position: relative; margin: 1em 0 2em; line-height: 0; --split: 50%; }}
img {{ width: 100%; height: auto; }}
.before {{ position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--split)) 0 0); }}
input {{ position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }}
figure::after {{ content: ""; position: absolute; top: 0; bottom: 0; left: var(--split); border-left: 2px solid #fff; }}
figure::after, .before {{ pointer-events: none; }}
input:focus-visible {{ opacity: .3; }}
figcaption {{ line-height: 1.5; }}
table {{ border-collapse: collapse; }}
th {{ text-align: left; font-weight: normal; color: #666; padding-right: 1em; }}
</style>
<h1>{title}</h1>
<p>Left of the line the source, enlarged by bicubic interpolation; right of it the result. Drag the line.</p>
{figures}
<table>
{facts}
</table>
</html>
"""
FIGURE = """<figure>
<img alt="result" src="{after}">
<img alt="source, enlarged" class="before" src="{before}">
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="place of the line"
 oninput="this.parentNode.style.setProperty('--split', this.value + '%')">
<figcaption>{seconds:.2f} s</figcaption>
</figure>"""


def comparison_page(source: Path, target: Path, page: Path, *, facts: Mapping[str, str], settings: Settings) -> None:
    """Write `page`: three moments of the result's first 250 frames under a slider, and a table of `facts`.

    `settings` as in `moments`. Raises as `moments` does, and OSError when `page` cannot be written.
    """
    figures = [_figure(moment) for moment in moments(Path(source), Path(target), count=MOMENTS, settings=settings)]
    rows = [f"<tr><th>{html.escape(name)}<td>{html.escape(value)}" for name, value in facts.items()]
    text = PAGE.format(title=html.escape(Path(target).name), figures="\n".join(figures), facts="\n".join(rows))
    page.write_text(text, encoding="utf-8")


def _figure(moment: Moment) -> str:
    return FIGURE.format(after=_embedded(moment.after), before=_embedded(moment.before), seconds=moment.seconds)


def _embedded(picture: Picture) -> str:
    """A picture as a data: address."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
