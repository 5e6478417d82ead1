"""Real-ESRGAN x4plus, and a small denoiser that takes back what it draws too much."""
