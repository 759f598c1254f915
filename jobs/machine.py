"""Names of this machine, and of workers on it, among those that share a Redis."""

import socket
from pathlib import Path


def machine() -> str:
    """A name for all whose processes can be told by their numbers: containers may share the name of their host."""
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"


def worker(pid: int) -> str:
    """A name for the worker whose first process has this number; no later one has it, as numbers come again."""
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{machine()}:{pid}:{started}"
