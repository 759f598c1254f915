"""A GPU for each worker: on a machine with several, one takes that which the fewest others have."""

import fcntl
import itertools
import os
import subprocess
from pathlib import Path

import structlog

from jobs.files.private import open_lock

log = structlog.get_logger(__name__)

SEEN = "CUDA_VISIBLE_DEVICES"
LIST = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
LIST_S = 30.0  # a driver that has slept takes its time


def take_gpu(device: str, folder: Path) -> str | None:
    """Let this process and its children see one GPU alone, which is counted as theirs until this process ends.

    `folder` has the locks by which workers count, in containers too. Nothing is taken where `device` or the environment
    names a GPU, or where there are not several; the answer is None then. Raises OSError.
    """
    if device not in ("auto", "cuda") or SEEN in os.environ:
        return None
    gpus = _gpus()
    if len(gpus) < 2:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    gpu = next(gpu for place in itertools.count() for gpu in gpus if _taken(folder / f"{gpu}.{place}"))
    os.environ[SEEN] = gpu
    log.info("this worker has a GPU of several", gpu=gpu)
    return gpu


def _gpus() -> list[str]:
    """The GPUs that NVIDIA's driver knows, by names that are the same in all containers."""
    try:
        listed = subprocess.run(LIST, capture_output=True, text=True, timeout=LIST_S, check=True).stdout
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the GPUs cannot be listed, so the first is taken", error=str(error))
        return []
    return [line.strip() for line in listed.splitlines() if line.strip()]


def _taken(path: Path) -> bool:
    """Whether the lock is ours now. It stays open, for the kernel gives it back when we end, however that is."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
