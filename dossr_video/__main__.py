"""`python -m dossr_video` is the command `dossr-video`."""

from dossr_video.cli.commands import main
from dossr_video.cli.watch import watched


def run() -> None:
    """Entry point of the command."""
    watched(main)


if __name__ == "__main__":
    run()
