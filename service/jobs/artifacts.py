"""Files of jobs, in one local folder per job. Names are ours; a file is whole or it is not there."""

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

JOB_ID = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,40}(\.[a-z0-9]{1,8})?")
CHUNK = 1 << 20


class ArtifactError(Exception):
    """Root of what the artifact store raises."""


class ArtifactTooLargeError(ArtifactError):
    """More bytes came than the limit allows; nothing was kept."""

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(f"{key} is larger than the {limit} bytes allowed")
        self.limit = limit


class ArtifactMissingError(ArtifactError):
    """There is no such artifact, or its job's folder is gone because the job was deleted."""


@dataclass(frozen=True)
class Artifact:
    """A stored file: `key` is `JOB/NAME`."""

    key: str
    bytes: int
    sha256: str


def new_job_id() -> str:
    """128 random bits: an id that cannot be guessed and is safe in a path and a URL."""
    return secrets.token_hex(16)


class ArtifactWriter:
    """An artifact being written: bytes go to a temporary file, `commit` gives it its name, `discard` drops it."""

    def __init__(self, path: Path, key: str, limit: int | None) -> None:
        self.key = key
        self.size = 0
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        self._limit = limit
        self._digest = hashlib.sha256()
        try:
            self._file: BinaryIO = self._temporary.open("wb")
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"the folder of {key} is gone") from error

    def write(self, data: bytes) -> None:
        """Append bytes. Raises ArtifactTooLargeError before more than the limit is stored."""
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise ArtifactTooLargeError(self.key, self._limit)
        self._digest.update(data)
        self._file.write(data)

    def commit(self) -> Artifact:
        """Close and rename; from now on the artifact is there, whole."""
        self._file.close()
        try:
            self._temporary.replace(self._path)
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"the folder of {self.key} is gone") from error
        return Artifact(self.key, self.size, self._digest.hexdigest())

    def discard(self) -> None:
        """Close and remove what was written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class ArtifactStore:
    """Artifacts under `root`. Front-end and workers share the folder (one machine, or one network volume)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create_folder(self, job_id: str) -> None:
        """Make the folder of a new job; only the front-end does, so that a deleted job's folder stays gone."""
        self._folder(job_id).mkdir(parents=True)

    def writer(self, job_id: str, name: str, *, limit: int | None = None) -> ArtifactWriter:
        """Begin an artifact of at most `limit` bytes. Raises ArtifactMissingError when the job's folder is gone."""
        key = f"{job_id}/{name}"
        return ArtifactWriter(self.path(key), key, limit)

    def put(self, job_id: str, name: str, chunks: Iterable[bytes], *, limit: int | None = None) -> Artifact:
        """Store a stream of bytes. Raises ArtifactTooLargeError, ArtifactMissingError."""
        writer = self.writer(job_id, name, limit=limit)
        try:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()
        except BaseException:
            writer.discard()
            raise

    def link(self, key: str, job_id: str) -> str:
        """Give an artifact to a job under the same name, without copying it. Raises ArtifactMissingError."""
        linked = f"{job_id}/{key.partition('/')[2]}"
        try:
            self.path(linked).hardlink_to(self.path(key))
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"there is no artifact {key}, or no folder for {linked}") from error
        return linked

    @contextmanager
    def writing(self, job_id: str, name: str) -> Iterator[Path]:
        """A path to write a file at by other means (an encoder); renamed to its name if the block ends well.

        The temporary name keeps the suffix, since encoders choose the format by it. `describe` tells size and hash.
        """
        path = self.path(f"{job_id}/{name}")
        if not path.parent.is_dir():
            raise ArtifactMissingError(f"the folder of job {job_id} is gone")
        temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def describe(self, key: str) -> Artifact:
        """Size and hash of an artifact. Raises ArtifactMissingError."""
        digest = hashlib.sha256()
        size = 0
        with self.open(key) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return Artifact(key, size, digest.hexdigest())

    def path(self, key: str) -> Path:
        """Where an artifact is or would be. Raises ValueError for a key that is not one of ours."""
        job_id, _, name = key.partition("/")
        if not NAME.fullmatch(name):
            raise ValueError(f"artifact name {name!r} must match {NAME.pattern}")
        return self._folder(job_id) / name

    def open(self, key: str) -> BinaryIO:
        """Open an artifact for reading. Raises ArtifactMissingError."""
        try:
            return self.path(key).open("rb")
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"there is no artifact {key}") from error

    def discard_unfinished(self, job_id: str) -> None:
        """Remove what processes that died left half written; their names begin with a dot. For the job's holder."""
        for path in self._folder(job_id).glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def delete_job(self, job_id: str) -> None:
        """Remove all files of a job; fine if there are none."""
        shutil.rmtree(self._folder(job_id), ignore_errors=True)

    def _folder(self, job_id: str) -> Path:
        if not JOB_ID.fullmatch(job_id):
            raise ValueError(f"job id {job_id!r} must be 32 hexadecimal digits")
        # two levels, so that no folder grows too long to list
        return self.root / job_id[:2] / job_id
