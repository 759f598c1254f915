"""Artifacts in a local folder."""

import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.files.artifacts import (
    ArtifactMissingError,
    ArtifactsAwayError,
    ArtifactStore,
    Draft,
    InvalidArtifactStoreError,
)
from jobs.files.keys import ID, checked_id, split_key


class FolderDraft(Draft):
    """A draft on the artifacts' own file system, which becomes one by being renamed."""

    def __init__(self, key: str, folder: Path, limit: int | None, path: Path) -> None:
        super().__init__(key, folder, limit)
        self._final_path = path

    def _store(self) -> None:
        self.path.replace(self._final_path)


class FolderArtifacts(ArtifactStore):
    """Artifacts under `root`. Front-end and workers share the folder (one machine, or one network volume)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folder. Raises InvalidArtifactStoreError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArtifactStoreError(f"{self.root} cannot be made: {error.strerror}") from error

    def check(self) -> None:
        """Raise ArtifactsAwayError when the folder cannot be written."""
        try:
            (self.root / ".probe").write_bytes(b"")
        except OSError as error:
            raise ArtifactsAwayError(f"the data folder cannot be written: {error.strerror}") from error

    def create_folder(self, folder_id: str) -> None:
        """Make the folder of a new job or portrait. Raises OSError."""
        self._folder(folder_id).mkdir(parents=True)

    def draft(self, folder_id: str, name: str, *, limit: int | None = None) -> FolderDraft:
        """Begin an artifact in a hidden folder beside its place. Raises ArtifactMissingError, OSError."""
        key = f"{folder_id}/{name}"
        path = self.path(key)
        folder = path.with_name(f".{secrets.token_hex(4)}")
        try:
            folder.mkdir()
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"the folder of {key} is gone") from error
        return FolderDraft(key, folder, limit, path)

    def link(self, key: str, folder_id: str) -> str:
        """Give an artifact to another job as a hard link. Raises ArtifactMissingError."""
        linked = f"{folder_id}/{split_key(key)[1]}"
        try:
            self.path(linked).hardlink_to(self.path(key))
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"there is no artifact {key}, or no folder for {linked}") from error
        return linked

    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        """The artifact itself. Raises ArtifactMissingError."""
        yield self._existing(key)

    def locate(self, key: str, *, method: str, media_type: str, filename: str) -> Path:
        """The artifact itself. Raises ArtifactMissingError."""
        return self._existing(key)

    def clear(self, folder_id: str, keep: Collection[str]) -> None:
        """Remove all files of a job but those with the keys `keep`."""
        names = {split_key(key)[1] for key in keep}
        for path in self._folder(folder_id).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in names:
                path.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Remove one artifact; fine if there is none."""
        self.path(key).unlink(missing_ok=True)

    def delete_folder(self, folder_id: str) -> None:
        """Remove a folder with all files in it; fine if there is none."""
        shutil.rmtree(self._folder(folder_id), ignore_errors=True)

    def path(self, key: str) -> Path:
        """Where an artifact is or would be."""
        folder_id, name = split_key(key)
        return self._folder(folder_id) / name

    def _existing(self, key: str) -> Path:
        path = self.path(key)
        if not path.is_file():
            raise ArtifactMissingError(f"there is no artifact {key}")
        return path

    def _old_folders(self, older_than_s: float) -> Iterator[str]:
        for folder in self.root.glob("??/*"):
            if ID.fullmatch(folder.name) and time.time() - folder.stat().st_mtime > older_than_s:
                yield folder.name

    def _folder(self, folder_id: str) -> Path:
        # two levels, so that no folder grows too long to list
        return self.root / folder_id[:2] / checked_id(folder_id)
