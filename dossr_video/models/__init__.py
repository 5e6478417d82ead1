"""Models that the sampler drives, and how their weights are read."""
