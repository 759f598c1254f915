"""Folders of this machine for files that are on their way to a bucket, or come from there."""

import secrets
import shutil
import time
from pathlib import Path

from jobs.files.keys import checked_id
from jobs.messages import VISIBILITY_TIMEOUT_S


class Scratch:
    """Folders under `root`, each for one file. Several processes may use it, and not all live to tidy up."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make_folder(self, folder_id: str) -> Path:
        """A new folder for a file of the folder `folder_id`; whoever asked for it removes it. Raises OSError."""
        folder = self._root / f"{checked_id(folder_id)}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        return folder

    def clear(self, folder_id: str | None = None) -> None:
        """Remove what processes left that died: of this folder, and whatever is older than any upload or job may be."""
        for folder in self._root.glob("*"):
            try:
                old = time.time() - folder.stat().st_mtime > VISIBILITY_TIMEOUT_S
            except FileNotFoundError:
                continue  # somebody else was quicker
            if old or folder.name.startswith(f"{folder_id}-"):
                shutil.rmtree(folder, ignore_errors=True)
