"""Webhooks: signed, and sent only where they may go."""
