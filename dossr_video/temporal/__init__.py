"""What holds frames together over time: shots, motion, repeats and the blending of neighbours."""
