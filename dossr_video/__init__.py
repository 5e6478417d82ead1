"""dossr-video: video super-resolution with domain-shift diffusion, for film and tape that cannot be shot again."""
