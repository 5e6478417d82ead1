"""What holds frames together over time: shots, motion, duplicate frames and the blending of neighbours."""
