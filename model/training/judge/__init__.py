"""Trains the judge of lip synchrony: `pirenderer train judge`."""
