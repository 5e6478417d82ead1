"""How the compact model is trained: footage, damage, losses and the training loop."""
