"""Folders of files: what is new, what is done, how long it takes."""
