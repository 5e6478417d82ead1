"""Reading what a browser asks for."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from dossr_video.errors import DossrError, JobError
from dossr_video.ui.folders import OutsideError
from dossr_video.ui.form import Form
from dossr_video.ui.upload import TooLargeError

MOST_FORM = 64 * 1024  # bytes of a form


def query(request: Request) -> Form:
    """What stands behind the ? of the address."""
    return parse_qs(request.scope["query_string"].decode("latin-1"), errors="replace")


async def form_of(request: Request) -> Form | None:
    """What was filled in; None for what is no form, or too large for one."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            return None
    return parse_qs(body.decode("utf-8", "replace"), errors="replace")


def first(form: Form, name: str) -> str:
    """The value of a field; "" where it has none."""
    return next(iter(form.get(name, ())), "")


def status_of(error: DossrError) -> int:
    """Of HTTP."""
    if isinstance(error, OutsideError):
        return 403
    return 413 if isinstance(error, TooLargeError) else 404 if isinstance(error, JobError) else 400
