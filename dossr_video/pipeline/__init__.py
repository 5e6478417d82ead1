"""One segment, one shot: decoded frames in, enlarged frames out."""
