"""The full DoSSR model of the paper."""

from dossr_video.models.torchvision import import_torchvision

# transformers imports torchvision where it is installed, and would fail where that one's operators do not load.
import_torchvision()
