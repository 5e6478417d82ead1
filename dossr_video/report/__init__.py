"""What a person looks at after a run: a picture and a page that hold source and result against each other."""

from dossr_video.report.picture import before_after

__all__ = ["before_after"]
