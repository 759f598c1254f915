"""Released weights: NAME.safetensors beside NAME.json, its card. Importing this package loads no torch."""

RENDERER = "renderer-guided-light"
"""Name of the renderer that is used unless another is asked for."""
