"""Live sessions: a portrait that is rendered while a client drives it."""
