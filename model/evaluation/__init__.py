"""What the networks are worth: figures on held-out people, speed and cost. No worker loads it."""
