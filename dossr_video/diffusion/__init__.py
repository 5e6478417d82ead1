"""The domain-shift diffusion, as pure functions: schedule, one solver step, the sampling loop, noise."""
