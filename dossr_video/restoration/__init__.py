"""What old footage needs before and after the model: dust and scratches, the source's own grid, strength and grain."""
