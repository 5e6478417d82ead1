"""Folders of files: batch runs, their catalogue, estimates and status."""
