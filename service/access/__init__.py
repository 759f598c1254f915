"""Who may do what, and how much of it: API keys, limits by owner, open mode."""
