"""What the audio flow is worth: `pirenderer evaluate audio`."""
