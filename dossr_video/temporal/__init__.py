"""Processing over time: shot detection, optical flow, duplicate frames, blending with the previous frame."""
