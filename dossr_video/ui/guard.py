"""Who may use the page: a browser on this machine that was given the token, and no other site through that browser."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"

# Reports hold their scripts, styles and pictures; they get no address, no cookie and no way to ask for anything.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src data: blob:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
)

_OPENING = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/">'
    '<link rel="icon" href="/static/icon.svg"><title>dossr-video</title><p><a href="/">Open dossr-video</a></p></html>'
)
_NO_TOKEN = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>dossr-video</title>'
    "<h1>This page needs its token</h1>"
    "<p>Open the whole address that <code>dossr-video ui</code> has printed.</p></html>"
)


@dataclass(frozen=True)
class Access:
    """The secrets of the page. `token` stands in the address and is new at each start; `session` is the cookie."""

    port: int
    session: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def form_token(self) -> str:
        """Stands in every form: another site cannot know it."""
        return hmac.new(self.session.encode(), b"form", "sha256").hexdigest()

    @property
    def hosts(self) -> tuple[str, str]:
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"


def session_secret(path: Path) -> str:
    """Kept in a file that only the user can read, so that a window stays open over a restart."""
    try:
        secret = path.read_text(encoding="ascii")
    except FileNotFoundError:
        secret = ""
    if len(secret) != len(secrets.token_urlsafe()):  # new, or a power cut left it empty
        secret = secrets.token_urlsafe()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret)
    return secret


def same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


class Guard:
    """Lets a request pass to the application, or answers it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = self._refusal(scope) or self._entrance(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cache-Control"] = "no-store"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Of another site: by a name of its own for this machine, or with a request from its pages."""
        headers = Headers(scope=scope)
        if headers.get("host") not in self._access.hosts:
            return PlainTextResponse("this page is only there at 127.0.0.1\n", 421)
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{headers['host']}":
            return PlainTextResponse("only pages of dossr-video itself may ask for this\n", 403)
        return None

    def _entrance(self, scope: Scope) -> Response | None:
        """For a browser that has shown the token, or none of the secrets. None: it has the cookie."""
        access, name = self._access, f"dossr-video-{self._access.port}"
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and given and same(given, access.token):
            # A page, not a redirect: after a link from elsewhere the browser would not send a strict cookie along.
            response = HTMLResponse(_OPENING)
            response.set_cookie(name, access.session, httponly=True, samesite="strict", path="/")
            return response
        cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(name)
        if cookie is not None and same(cookie, access.session):
            return None
        return HTMLResponse(_NO_TOKEN, 403)
