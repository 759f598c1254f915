"""Fits the morphable model: `pirenderer train morphable`."""
