"""`python -m dossr_video` is the command `dossr-video`."""

import os
import sys


def run() -> None:
    """Entry point of the command."""
    _open_standard()
    from dossr_video.cli.watch import watched

    watched(_command)


def _command() -> None:
    from dossr_video.cli.commands import main  # it looks at the standard streams

    main()


def _open_standard() -> None:
    """Open what was closed (`2>&-`), or the next file that is opened would get what is told.

    Standard output becomes one that cannot be written: what was asked for must not go nowhere.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor < 2 else os.O_WRONLY)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    run()
