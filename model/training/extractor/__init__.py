"""Trains the extractor: `pirenderer train extractor`."""
