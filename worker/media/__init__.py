"""Pictures, sound and video in and out: decoded under limits, encoded for browsers, pasted back into photos."""
