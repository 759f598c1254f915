"""The name of this machine among those that share a Redis."""

import socket
from pathlib import Path


def machine() -> str:
    """A name for all whose processes can be told by their numbers: containers may share the name of their host."""
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
