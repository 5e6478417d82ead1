"""Stream copy, remux and the proof of the result."""
