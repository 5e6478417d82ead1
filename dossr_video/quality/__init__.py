"""How good a result is against its ground truth: figures, the pairs they are taken on, and what a network costs."""
