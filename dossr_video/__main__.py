"""`python -m dossr_video` is the command `dossr-video`."""

from dossr_video.cli.commands import main

if __name__ == "__main__":
    main()
