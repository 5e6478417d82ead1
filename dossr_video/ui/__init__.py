"""The local page of `dossr-video ui`: choosing, previewing and watching jobs in a browser (extra `ui`).

Everything that opens a video runs in a process of the command itself; this one only shows and asks.
"""
