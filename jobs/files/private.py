"""What is kept is no business of other users of the machine: photos, results, jobs with their webhooks, keys."""

import errno
import os
import stat
from pathlib import Path

import structlog

from jobs.errors import UnusableError

log = structlog.get_logger(__name__)

OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnusableFolderError(UnusableError):
    """The data folder cannot be made; the text is one line that names it and says why."""


def open_lock(path: Path) -> int:
    """A file to be locked, which others cannot open and so cannot lock. The caller closes it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _tighten(path)
    return descriptor


def keep_private(folder: Path, *parts: Path) -> None:
    """Make the data folder, and shut others out of those of its parts (files, folders) that are open to them.

    A folder that is there already may hold more than ours, so its own mode stays: `doctor` tells of it.
    Raises UnusableFolderError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise UnusableFolderError(f"PIRENDERER_DATA_DIR: {folder} cannot be used: {why}") from error
    for part in parts:
        if part.exists():
            _tighten(part)


def open_to_others(path: Path) -> bool:
    """Whether other users may look into a folder or file."""
    return bool(path.stat().st_mode & OTHERS)


def _tighten(path: Path) -> None:
    status = path.stat()
    if status.st_mode & OTHERS and status.st_uid == os.geteuid():
        try:
            path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            log.warning("other users of this machine may open it; it cannot be changed here", path=str(path))
        else:
            log.warning("other users of this machine could open it; now they cannot", path=str(path))
