"""What the morphable model is worth on held-out people."""
