"""Real-ESRGAN x4plus and compact, the mean of their pictures, and a small denoiser that weighs its bands."""
