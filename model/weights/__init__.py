"""Released weights: NAME.safetensors beside NAME.json, its card. Importing this package loads no torch."""
