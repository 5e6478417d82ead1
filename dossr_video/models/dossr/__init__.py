"""The full DoSSR model of the paper."""
