"""What a decoding child gives up before it looks at a file."""

import resource
from dataclasses import dataclass
from pathlib import Path

from jobs.confinement import confinement


@dataclass(frozen=True)
class Bounds:
    """What a piece of decoding may use: memory in bytes, beyond what its process begins with, and seconds of computing,
    those of all its threads together."""

    memory: int
    seconds: int


def confine(path: Path | None, bounds: Bounds) -> None:
    """From here on this process may read the file at `path`, if any, use what `bounds` allow, and do little else."""
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    confinement.confine([path] if path else [], memory=own + bounds.memory, seconds=bounds.seconds)
