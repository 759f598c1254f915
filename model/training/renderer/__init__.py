"""Trains the renderer and its prior: `pirenderer train renderer`."""
