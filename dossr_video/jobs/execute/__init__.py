"""Where segments are computed: this machine or a Ray cluster."""
