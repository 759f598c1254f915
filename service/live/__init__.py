"""Live sessions: what a client says by its WebSocket goes to the worker that draws, and its pictures come back."""
