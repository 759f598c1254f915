"""Files of jobs: what a store of them does, wherever it keeps them. Names are ours; a file is whole or it is not there.

An artifact's key is `JOB/NAME`. A job's artifacts lie in its folder, which only the front-end makes: what is deleted
with its folder stays deleted, whoever still works on it. Portraits that are kept have folders, too.
"""

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from jobs.errors import UnusableError
from jobs.files.keys import split_key


class ArtifactError(Exception):
    """Root of what artifact stores raise."""


class ArtifactTooLargeError(ArtifactError):
    """More bytes came than the limit allows; nothing was kept."""

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(f"{key} is larger than the {limit} bytes allowed")
        self.limit = limit


class ArtifactMissingError(ArtifactError):
    """There is no such artifact, or its job's folder is gone because the job was deleted."""


class ArtifactsAwayError(ArtifactError):
    """The store does not answer, or refuses what it should do; later it may. The text can be shown to anyone."""


class InvalidArtifactStoreError(UnusableError):
    """The settings name a store that cannot be used; the text says why."""


@dataclass(frozen=True)
class Artifact:
    """A stored file: `key` is `JOB/NAME`."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SignedUrl:
    """An address at which whoever has it can fetch one artifact for a short time."""

    url: str


class Draft(ABC):
    """An artifact being written, as the file `path` of this machine, until `commit` puts it into the store.

    Bytes come by `write`, or by other means (an encoder) to `path`, which has the artifact's name and lies in a folder
    of its own. The end of the `with` block removes that folder, as `discard` does.
    """

    def __init__(self, key: str, folder: Path, limit: int | None) -> None:
        self.key = key
        self.path = folder / split_key(key)[1]
        self._folder = folder
        self._limit = limit
        self._size = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: bytes) -> None:
        """Append bytes. Raises ArtifactTooLargeError before more than the limit is stored, and OSError."""
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            raise ArtifactTooLargeError(self.key, self._limit)
        if self._file is None:
            self._file = self.path.open("wb")
        self._file.write(data)

    def close(self) -> None:
        """Nothing more is written: `path` holds it all. Raises OSError."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def commit(self) -> Artifact:
        """Put it into the store; from now on the artifact is there, whole. May be tried again after ArtifactsAwayError.

        Raises ArtifactMissingError when the job was deleted, ArtifactsAwayError, OSError.
        """
        self.close()
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                artifact = Artifact(self.key, file.tell(), digest)
            self._store()
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"the folder of {self.key} is gone") from error
        return artifact

    @abstractmethod
    def _store(self) -> None:
        """Let the file at `path` become the artifact `key`, at once or not at all. Raises as `commit` does."""

    def discard(self) -> None:
        """Remove what was written, except what has been committed."""
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class ArtifactStore(ABC):
    """Where artifacts are. All of it may wait for a disk or a network, but for `draft`, and be shared between threads.

    All may raise ArtifactsAwayError, and ValueError for keys and ids that are not ours.
    """

    origin: str | None = None  # of the addresses that `locate` gives, if any

    @abstractmethod
    def prepare(self) -> None:
        """Make what the front-end needs to begin. Raises InvalidArtifactStoreError."""

    @abstractmethod
    def check(self) -> None:
        """Raise ArtifactsAwayError when artifacts cannot be stored."""

    @abstractmethod
    def create_folder(self, folder_id: str) -> None:
        """Make the folder of a new job or portrait. Raises OSError."""

    @abstractmethod
    def draft(self, folder_id: str, name: str, *, limit: int | None = None) -> Draft:
        """Begin an artifact of at most `limit` bytes. Raises ArtifactMissingError where it is seen at once that the
        job's folder is gone, and OSError."""

    def put(self, folder_id: str, name: str, chunks: Iterable[bytes], *, limit: int | None = None) -> Artifact:
        """Store a stream of bytes. Raises ArtifactTooLargeError, ArtifactMissingError, OSError."""
        with self.draft(folder_id, name, limit=limit) as draft:
            for chunk in chunks:
                draft.write(chunk)
            return draft.commit()

    @abstractmethod
    def link(self, key: str, folder_id: str) -> str:
        """Give an artifact to another job, without sending it; returns its key there. Raises ArtifactMissingError."""

    @abstractmethod
    def reading(self, key: str) -> AbstractContextManager[Path]:
        """A file of this machine with the artifact's bytes, for as long as the `with` block runs.

        Raises ArtifactMissingError, OSError.
        """

    @abstractmethod
    def locate(self, key: str, *, method: str, media_type: str, filename: str) -> Path | SignedUrl:
        """Whence a client's `method` (GET or HEAD) is answered: a file to be sent to it, or where it is to ask.

        Raises ArtifactMissingError.
        """

    @abstractmethod
    def clear(self, folder_id: str, keep: Collection[str]) -> None:
        """Remove what attempts at a job left that died: all but the keys `keep`. For the job's holder."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove one artifact; fine if there is none."""

    @abstractmethod
    def delete_folder(self, folder_id: str) -> None:
        """Remove a folder with all files in it; fine if there is none."""

    def sweep(self, owned: Callable[[str], bool], *, older_than_s: float) -> Iterator[str]:
        """Remove folders that nothing was put into for so long and nobody owns; yields their ids."""
        for folder_id in self._old_folders(older_than_s):
            if not owned(folder_id):
                self.delete_folder(folder_id)
                yield folder_id

    @abstractmethod
    def _old_folders(self, older_than_s: float) -> Iterator[str]:
        """The ids of the folders that nothing was put into for so long."""
