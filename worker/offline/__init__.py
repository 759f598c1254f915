"""The same work without a queue: `pirenderer render`."""
