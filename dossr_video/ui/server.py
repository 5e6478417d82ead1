"""Serves the page on 127.0.0.1 until it is told to end."""

from __future__ import annotations

import signal
import socket
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from dossr_video.errors import JobError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.lock import HeldError, locked
from dossr_video.system import STOPS
from dossr_video.ui.folders import Folders
from dossr_video.ui.guard import Access, Guard, session_secret
from dossr_video.ui.pages import Pages
from dossr_video.ui.queue import Queue
from dossr_video.ui.store import Store, state_folder


def serve(given: Sequence[Path], *, port: int, limit: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page.

    Args:
        given: The folders that it may see.
        port: On 127.0.0.1; 0: a free one.
        limit: Bytes of a file that is dropped into the page.
        browser: Whether to open the page in the user's browser.
        say: Takes lines for the user.

    Raises:
        SourceError: A folder is none.
        TargetError: The port is taken.
        JobError: The page runs already.
    """
    folders, state = Folders.of(given), state_folder()
    with closing(_socket(port)) as listening:
        access = Access(listening.getsockname()[1], session_secret(state / "session"))
        queue = Queue(Store(state / "jobs"), allowed=folders.holds)
        server = _Server(_config(Guard(Starlette(routes=Pages(folders, queue, access, limit).routes()), access)))
        try:
            with locked(state / "lock"):
                queue.start()
                say(f"the page: {access.address}")
                say("Ctrl-C ends the page; a job that runs goes on, and the next start of the page shows it again")
                if browser:
                    _open(state / "open.html", access.address)
                try:
                    server.run(sockets=[listening])
                finally:
                    queue.close()
        except HeldError as error:
            raise JobError(
                "the page runs already", hint="use its window, or end it first: there is one queue for each user"
            ) from error
    for seen in queue.seen():
        if seen.job.kind == "upscale" and seen.runs and seen.job.owner is not None:
            say(f"{seen.job.source.name} goes on without the page; `kill {seen.job.owner.pid}` stops it")


class _Server(uvicorn.Server):
    """Ends quietly, with exit code 0, at every signal that ends a run; uvicorn raises the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(number: int, frame: FrameType | None) -> None:
            self.should_exit = True

        before = {number: signal.signal(number, end) for number in STOPS}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)


def _config(app: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )


def _socket(port: int) -> socket.socket:
    """Listening on this machine alone; TargetError where the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise TargetError(
            f"port {port} of 127.0.0.1 cannot be used: {error.strerror}",
            hint="the page may run already; or choose another port with --port, 0 for any free one",
        ) from error
    return listening


def _open(file: Path, address: str) -> None:
    """In the user's browser, through a file: the token would be seen by others on a command line."""
    durable.write(file, f'<meta http-equiv="refresh" content="0; url={address}">'.encode())
    webbrowser.open(file.as_uri())
