"""Trains the audio flow: `pirenderer train audio`."""
