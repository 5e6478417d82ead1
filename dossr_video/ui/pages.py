"""The pages and what their buttons do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from dossr_video.errors import DossrError, JobError, SourceError
from dossr_video.names import shown
from dossr_video.ui import form as fields
from dossr_video.ui.folders import Folders, OutsideError
from dossr_video.ui.form import Form
from dossr_video.ui.guard import REPORT_POLICY, Access, same
from dossr_video.ui.queue import Queue, Seen
from dossr_video.ui.request import first, form_of, query, status_of
from dossr_video.ui.shots import cells, shots_of
from dossr_video.ui.store import Kind
from dossr_video.ui.upload import check_upload, receive
from dossr_video.ui.views import (
    STATIC,
    failure_of,
    presets,
    printed,
    result_lines,
    size_of,
    templates,
)
from dossr_video.video.thumbnail import thumbnail
from dossr_video.video.write.containers import CONTAINERS

ACTIONS = ("pause", "go-on", "stop", "remove")


@dataclass(frozen=True)
class Pages:
    """The pages over some folders and a queue."""

    folders: Folders
    queue: Queue
    access: Access
    limit: int  # bytes of a file that is dropped

    def routes(self) -> list[Route]:
        pages = {
            "/": self.home,
            "/queue": self.queue_part,
            "/clip": self.clip,
            "/clip/probe": self.probe_part,
            "/clip/preview": self.preview_part,
            "/job/{id}": self.job,
            "/job/{id}/state": self.job_part,
            "/job/{id}/page": self.job_page,
            "/job/{id}/sheet": self.job_sheet,
            "/job/{id}/shot/{shot:int}": self.job_shot,
            "/static/{name}": self.static,
        }
        forms = {
            "/clip/probe": self.ask_probe,
            "/clip/explain": self.ask_explanation,
            "/clip/preview": self.ask_preview,
            "/clip/start": self.start,
            "/job/{id}/{action}": self.act,
        }
        return [
            *(Route(path, self._shown(page)) for path, page in pages.items()),
            *(Route(path, self._asked(ask), methods=["POST"]) for path, ask in forms.items()),
            Route("/upload", self.upload, methods=["POST"]),
            Route("/upload", self._shown(self.check_upload)),
        ]

    # What is shown.

    def home(self, request: Request) -> Response:
        folder = self.folders.find(first(query(request), "in") or "0/")
        if not folder.is_dir():
            raise SourceError(f"{shown(folder.name)} is no folder", hint="choose one in the list")
        listing = self.folders.listing(folder)
        parents = [parent for parent in (folder, *folder.parents) if self.folders.holds(parent)]
        return self._page(
            "home.html",
            folder=folder,
            parents=[(parent, self.folders.address_of(parent)) for parent in reversed(parents)],
            roots=[(root, self.folders.address_of(root)) for root in self.folders.roots],
            inner=[(path, self.folders.address_of(path)) for path in listing.folders],
            scans=[(path, self.folders.address_of(path)) for path in listing.scans],
            videos=[(path, self.folders.address_of(path), size_of(path)) for path in listing.videos],
            here=self.folders.address_of(folder),
            limit=self.limit,
            jobs=self._jobs(),
        )

    def queue_part(self, request: Request) -> Response:
        return self._page("queue.html", jobs=self._jobs())

    def clip(self, request: Request) -> Response:
        return self._clip(query(request))

    def probe_part(self, request: Request) -> Response:
        return self._page("probe.html", probe=self._look("probe", self._source(query(request))))

    def preview_part(self, request: Request) -> Response:
        return self._page("preview.html", preview=self._look("preview", self._source(query(request))))

    def job(self, request: Request) -> Response:
        return self._page("job.html", **self._job(request))

    def job_part(self, request: Request) -> Response:
        return self._page("state.html", **self._job(request))

    def job_page(self, request: Request) -> Response:
        return self._file(self.queue.get(request.path_params["id"]).job.page, "text/html; charset=utf-8")

    def job_sheet(self, request: Request) -> Response:
        job = self.queue.get(request.path_params["id"]).job
        if job.kind != "preview":
            raise JobError("only previews have a sheet", hint="open the report")
        return self._file(job.sheet, "image/png")

    def job_shot(self, request: Request) -> Response:
        target = self.queue.get(request.path_params["id"]).job.target
        shots = {} if target is None else {shot.number: shot for shot in shots_of(target)}
        shot = shots.get(request.path_params["shot"])
        if shot is None or shot.picture is None or not self.folders.holds(shot.picture):
            raise SourceError("this shot is not finished, or its job is", hint="open the report")
        return Response(thumbnail(shot.picture), media_type="image/jpeg")

    def static(self, request: Request) -> Response:
        if (found := STATIC.get(request.path_params["name"])) is None:
            raise SourceError("there is no such file", hint="open the first page")
        return Response(found[0].read_bytes(), media_type=found[1])

    # What is asked for. Each gives the address of the page that is shown next.

    def ask_probe(self, request: Request, form: Form) -> str:
        source = self._source(form)
        self.queue.add("probe", source, None, fields.options_of(form))
        return self._clip_address(form)

    def ask_explanation(self, request: Request, form: Form) -> str:
        source = self._source(form)
        self.queue.add("probe", source, self._target(form, source), fields.options_of(form))
        return self._clip_address(form) + "#file"

    def ask_preview(self, request: Request, form: Form) -> str:
        self.queue.add("preview", self._source(form), None, fields.preview_options(form))
        return self._clip_address(form) + "#preview"

    def start(self, request: Request, form: Form) -> str:
        source = self._source(form)
        job = self.queue.add("upscale", source, self._target(form, source), fields.options_of(form))
        return f"/job/{job.id}"

    def act(self, request: Request, form: Form) -> str:
        number, action = request.path_params["id"], request.path_params["action"]
        if action not in ACTIONS:
            raise JobError(f"a job cannot {action}", hint=f"one of {', '.join(ACTIONS)}")
        seen = self.queue.get(number)
        {"pause": self.queue.pause, "go-on": self.queue.go_on, "stop": self.queue.stop, "remove": self.queue.remove}[
            action
        ](number)
        if seen.job.kind != "upscale":
            return f"/clip?at={quote(self.folders.address_of(seen.job.source))}#preview"
        return "/" if action == "remove" or first(form, "back") == "home" else f"/job/{number}"

    def check_upload(self, request: Request) -> Response:
        """Whether a file may be sent, before it is: an answer in the middle of a large one would not arrive."""
        try:
            self._upload(request, first(query(request), "size"))
        except DossrError as error:
            return _told(error)
        return JSONResponse({})

    async def upload(self, request: Request) -> Response:
        size = request.headers.get("content-length", "")
        try:
            if not same(request.headers.get("x-form-token", ""), self.access.form_token):
                raise OutsideError("the form is not of this page", hint="load the page again")
            target = self._upload(request, size)
            await receive(target, request.stream(), int(size))
        except ClientDisconnect:
            return Response(status_code=400)
        except DossrError as error:
            return _told(error)
        return JSONResponse({"next": f"/clip?at={quote(self.folders.address_of(target))}"})

    # How they do it.

    def _shown(self, page: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await run_in_threadpool(page, request)
            except DossrError as error:
                return self._page("error.html", error=error, status=status_of(error))

        return endpoint

    def _asked(self, ask: Callable[[Request, Form], str]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            form = await form_of(request)
            if form is None or not same(first(form, "form-token"), self.access.form_token):
                error = OutsideError("the form is not of this page", hint="go back, load the page again and repeat")
                return self._page("error.html", error=error, status=403)
            try:
                return RedirectResponse(await run_in_threadpool(ask, request, form), 303)
            except DossrError as error:
                return await run_in_threadpool(self._refused, request, form, error)

        return endpoint

    def _refused(self, request: Request, form: Form, error: DossrError) -> Response:
        """The page of the clip with its form as it was filled in, where that is possible."""
        if request.url.path.startswith("/clip/"):
            with suppress(DossrError):
                return self._clip(form, error)
        return self._page("error.html", error=error, status=status_of(error))

    def _page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        text = templates().get_template(template).render(**values, form_token=self.access.form_token)
        return HTMLResponse(text, status)

    def _clip(self, form: Form, error: DossrError | None = None) -> Response:
        source = self._source(form)
        places = list(dict.fromkeys((source.parent, *self.folders.roots)))
        return self._page(
            "clip.html",
            status=200 if error is None else status_of(error),
            error=error,
            source=source,
            stem=fields.stem_of(source),
            is_scan=not source.is_file(),
            at=self.folders.address_of(source),
            back=self.folders.address_of(source.parent),
            chosen=form,
            presets=presets(),
            choices=fields.CHOICES,
            tries=fields.TRIES,
            formats=CONTAINERS,
            places=[(place, self.folders.address_of(place)) for place in places],
            probe=self._look("probe", source),
            preview=self._look("preview", source),
        )

    def _upload(self, request: Request, size: str) -> Path:
        asked = query(request)
        folder = self.folders.find(first(asked, "in"))
        if not size.isdecimal():
            raise SourceError("the size of the file is not announced", hint="drop a file")
        return check_upload(folder, first(asked, "name"), int(size), limit=self.limit)

    def _clip_address(self, form: Form) -> str:
        """With everything that is filled in: a page that is loaded again shows it."""
        kept = {name: [value for value in values if value] for name, values in form.items() if name != "form-token"}
        return f"/clip?{urlencode(kept, doseq=True)}"

    def _source(self, form: Form) -> Path:
        source = self.folders.find(first(form, "at"))
        if not source.is_file() and not self.folders.is_scan(source):
            raise SourceError(f"{shown(source.name)} is no file, or is gone", hint="choose a file in the list")
        return source

    def _target(self, form: Form, source: Path) -> Path:
        folder = self.folders.find(first(form, "to")) if first(form, "to") else source.parent
        return fields.target_of(form, source, folder, taken=self.queue.results())

    def _look(self, kind: Kind, source: Path) -> Mapping[str, Any] | None:
        """The last probe or preview of a file."""
        found = [seen for seen in self.queue.seen() if (seen.job.kind, seen.job.source) == (kind, source)]
        if not found:
            return None
        seen = found[-1]
        return {"seen": seen, "failure": failure_of(seen), "words": printed(seen.job)}

    def _jobs(self) -> list[dict[str, Any]]:
        return [self._shown_job(seen) for seen in self.queue.seen() if seen.job.kind == "upscale"]

    def _job(self, request: Request) -> dict[str, Any]:
        seen = self.queue.get(request.path_params["id"])
        if seen.job.kind != "upscale":
            raise JobError("this is a preview, no job", hint="the page of its clip shows it")
        shots = [] if seen.job.target is None else shots_of(seen.job.target)
        return {
            "job": self._shown_job(seen),
            "shots": shots,
            "cells": cells(shots),
            "pictures": [shot for shot in shots if shot.picture is not None][-8:],
            "lines": result_lines(seen),
        }

    def _shown_job(self, seen: Seen) -> dict[str, Any]:
        held = self.folders.holds(seen.job.source)
        return {
            "seen": seen,
            "failure": failure_of(seen),
            "has_page": seen.state == "done" and self.folders.holds(seen.job.page) and seen.job.page.is_file(),
            "at": self.folders.address_of(seen.job.source) if held else None,
        }

    def _file(self, path: Path, kind: str) -> Response:
        inside = self.folders.holds(path) or self.queue.owns(path)
        if not inside or path.is_symlink() or not path.is_file():
            raise SourceError(f"{shown(path.name)} is not there", hint="it may have been moved or removed")
        return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": REPORT_POLICY})


def _told(error: DossrError) -> Response:
    return JSONResponse({"message": error.message, "hint": error.hint}, status_of(error))
