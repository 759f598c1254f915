"""The one secret of the service itself, from which others are derived."""

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from jobs.errors import UnusableError
from jobs.regular_files import read_regular

SECRET_BYTES = 32


class SecretAwayError(UnusableError):
    """The file of the service's secret cannot be used. The text says why."""


class ServiceSecret:
    """Random bytes in a file that all front-ends share, made on first use. Once read it stays, whatever becomes of the
    file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def check(self) -> None:
        """Read the file where there is one. Raises SecretAwayError, also where none is and none can be made."""
        folder = self._path.parent
        if self._path.exists():
            self._need()
        elif folder.exists() and not os.access(folder, os.W_OK):
            raise SecretAwayError(
                f"{self._path} is missing, and cannot be made in a folder that is not to be written: put one there, of "
                f"{SECRET_BYTES} random bytes"
            )

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, which tell nothing of those for another.

        Raises SecretAwayError, also for a file that was cut off: what is derived from nothing anyone can derive.
        """
        return hmac.digest(self._need(), purpose.encode(), "sha256")

    def _need(self) -> bytes:
        if not self._key:
            try:
                key = self._read()
            except OSError as error:
                raise SecretAwayError(f"{self._path} cannot be read: {error.strerror}") from error
            if len(key) < SECRET_BYTES:
                raise SecretAwayError(f"{self._path} holds {len(key)} bytes instead of {SECRET_BYTES}: put it back")
            self._key = key
        return self._key

    def _read(self) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return read_regular(self._path)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another front-end was faster: its key counts
            self._path.hardlink_to(temporary)
        temporary.unlink()
        return read_regular(self._path)
