"""API keys at rest: a file of the data folder that holds their digests, never the keys.

A key is 256 random bits, so a plain SHA-256 of it can be kept: there is nothing to guess that a slow hash would guard.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from limits import parse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

KEY_PREFIX = "pir_"
OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class KeyScope(StrEnum):
    """What a key allows: look at jobs and models, make and end jobs, read the figures of operation."""

    READ = "read"
    WRITE = "write"
    METRICS = "metrics"


ALL_SCOPES = frozenset(KeyScope)


def _check_rate(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        raise ValueError(f"a rate is N/second, N/minute, N/hour or N/day, got {text!r}") from error
    return text


Rate = Annotated[str, AfterValidator(_check_rate)]


class UnknownKeyError(Exception):
    """There is no such key."""


class KeyRecord(BaseModel):
    """What is kept of one key. `owner` is whose jobs it sees; several keys may have one owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: Annotated[str, Field(pattern=f"^{OWNER.pattern}$")]
    digest: str
    scopes: frozenset[KeyScope] = ALL_SCOPES
    rate: Rate | None = None  # requests; unset: the service's default
    quota: Rate | None = None  # jobs; unset: the service's default
    created_at: datetime
    revoked_at: datetime | None = None


RECORDS = TypeAdapter(tuple[KeyRecord, ...])


class KeyFile:
    """The keys in `path`, read again whenever the file has changed: a key made or revoked counts at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._records: tuple[KeyRecord, ...] = ()

    def records(self) -> tuple[KeyRecord, ...]:
        """All keys, revoked ones too. Raises OSError or ValueError for a file that cannot be read."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return ()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._records = RECORDS.validate_json(self._path.read_bytes())
            self._seen = seen
        return self._records

    def find(self, key: str) -> KeyRecord | None:
        """The record of a key that is valid now."""
        digest = digest_of(key)
        # every key is compared, in constant time, so that timing tells nothing
        found = [record for record in self.records() if hmac.compare_digest(record.digest, digest)]
        return next((record for record in found if record.revoked_at is None), None)

    def make(
        self,
        owner: str,
        *,
        scopes: frozenset[KeyScope] = ALL_SCOPES,
        rate: str | None = None,
        quota: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """A new key and its record; the key is nowhere else. Raises pydantic.ValidationError (a ValueError)."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        record = KeyRecord(
            id=secrets.token_hex(4), owner=owner, digest=digest_of(key), scopes=scopes, rate=rate, quota=quota,
            created_at=datetime.now(UTC),
        )  # fmt: skip
        with self._changing():
            self._write((*self.records(), record))
        return key, record

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key; its owner's other keys and jobs stay. Raises UnknownKeyError."""
        with self._changing():
            records = {record.id: record for record in self.records()}
            if key_id not in records:
                known = ", ".join(records) or "none"
                raise UnknownKeyError(f"there is no key {key_id!r}; there are {known}")
            record = records[key_id]
            if record.revoked_at is None:
                record = record.model_copy(update={"revoked_at": datetime.now(UTC)})
                self._write(tuple({**records, key_id: record}.values()))
        return record

    def _write(self, records: tuple[KeyRecord, ...]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(RECORDS.dump_json(records, indent=1))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def digest_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
