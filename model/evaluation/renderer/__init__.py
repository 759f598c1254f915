"""What the renderer is worth: `pirenderer evaluate renderer`."""
