"""What is looked at each minute: processes, Redis, files."""

import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.soak.service import Watched
from jobs.store.names import PREFIX, Key

MIB = 2**20
LEFT_S = 300  # what lies in shared memory for longer than that is of nobody that works
JOB = re.compile(rf"{Key.JOB}([^:]+)(:\w+)?")
ROLES: tuple[tuple[str, Callable[[str], bool]], ...] = (  # the first that fits
    ("decoder's server", lambda line: "worker.decoding" in line),
    ("tracker", lambda line: "_tracker" in line and "spawn_main" not in line),
    ("worker's child", lambda line: "spawn_main" in line),
    ("API", lambda line: " api" in line),
    ("worker", lambda line: " worker" in line),
    ("serve", lambda line: " serve" in line),
    ("Redis", lambda line: "redis" in line or "valkey" in line),
)


def sample(service: Watched) -> dict[str, float]:
    """The figures as they are now, by their names."""
    return {**_processes(service), **_redis(service), **_files(service)}


def _processes(service: Watched) -> dict[str, float]:
    found: Counter[str] = Counter()
    for process in service.family():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            role = _role(process)
            memory = process.memory_full_info()
            found[f"{role}: MiB of its own"] += memory.uss / MIB
            found[f"{role}: MiB resident"] += memory.rss / MIB
            found[f"{role}: open files"] += process.num_fds()
            found[f"{role}: threads"] += process.num_threads()
            found["processes"] += 1
    return dict(found)


def _role(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    role = next((name for name, fits in ROLES if fits(line)), "others")
    forked = role == "decoder's server" and "worker.decoding" in " ".join((process.parent() or process).cmdline())
    return "decoders" if forked else role


def _redis(service: Watched) -> dict[str, float]:
    """Keys by kind. Those that end by themselves, and what is known of expired jobs for a week, are told apart."""
    with service.redis() as client:
        known: Any = client.zrange(Key.TOMBSTONES, 0, -1)
        tombstones = set(known)
        keys = [str(key) for key in client.scan_iter(count=1000)]
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pttl(key)
                pipe.memory_usage(key, samples=0)
            answers = pipe.execute()
        info: Any = client.info()
        kept = sum(int(amount) for what in ("files", "records") for amount in _values(client, Key.KEPT + what))
    found: Counter[str] = Counter()
    passing = 0
    for key, lives_ms, size in zip(keys, answers[::2], answers[1::2], strict=True):
        kind, lasts = _kind(key, tombstones, lives_ms)
        found[f"Redis keys: {kind}"] += 1
        if not lasts:
            passing += size or 0
    return {
        **found,
        "Redis: MiB": info["used_memory"] / MIB,
        "Redis: MiB without what is kept for a day or a week": (info["used_memory"] - passing) / MIB,
        "Redis: clients": info["connected_clients"],
        "Redis: bytes counted as kept by owners": kept,
    }


def _values(client: Any, key: str) -> list[str]:
    return list(client.hvals(key))


def _kind(key: str, tombstones: set[str], lives_ms: int) -> tuple[str, bool]:
    """Of which kind a key is, and whether it may not become more and larger by itself."""
    if lives_ms > 0:
        return "with an end", False
    if found := JOB.fullmatch(key):
        job_id, what = found.groups()
        return ("expired jobs", False) if job_id in tombstones else (f"jobs{what or ''}", True)
    name = key.removeprefix(PREFIX).partition(":")[0]
    return name, name not in ("owner", "tombstones")  # both list expired jobs as well


def _files(service: Watched) -> dict[str, float]:
    kept = [path for path in _below(service.data) if "redis" not in path.relative_to(service.data).parts]
    now = time.time()
    return {
        "files of the service": len(kept),
        "MiB of files of the service": sum(map(_size, kept)) / MIB,
        "MiB of Redis' log of writes": sum(map(_size, _below(service.data / "redis"))) / MIB,
        "temporary files": len(_below(service.folder / "tmp")),
        "shared memory that was left": sum(
            service.process.create_time() < _changed(path) < now - LEFT_S for path in Path("/dev/shm").iterdir()
        ),
    }


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _changed(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
