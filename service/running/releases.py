"""Which releases of Redis and Valkey have the fixes of the holes that are known."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The first of each line with all fixes that were public in November 2026; lines that are missing get none any more.
FIXED = {
    "Redis": ("6.2.24", "7.2.16", "7.4.11", "8.2.9", "8.4.6", "8.6.6", "8.8.2"),
    "Valkey": ("7.2.13", "8.0.9", "8.1.7", "9.0.5", "9.1.1"),
}


@dataclass(frozen=True)
class Release:
    """One of Redis or Valkey."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def fixed(self) -> str | None:
        """The release to take in place of this one, where it lacks fixes."""
        ours, last = _numbers(self.version), FIXED[self.name][-1]
        line = next((text for text in FIXED[self.name] if _numbers(text)[:2] == ours[:2]), last)
        return line if ours < _numbers(line) else None

    @classmethod
    def running(cls, info: Mapping[str, Any]) -> "Release":
        """What a server says of itself by INFO; Valkey also names the Redis that it is like."""
        valkey = info.get("valkey_version")
        return cls("Valkey", str(valkey)) if valkey else cls("Redis", str(info["redis_version"]))

    @classmethod
    def installed(cls, binary: Path) -> "Release | None":
        """What a server's binary says of itself; None where it is something else."""
        try:
            said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.match(r"(Redis|Valkey) server v=(\d+\.\d+\.\d+)", said)
        return None if found is None else cls(found[1], found[2])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(text) for text in re.findall(r"\d+", version)[:3])
