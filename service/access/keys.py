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
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.files.private import open_lock
from jobs.regular_files import read_regular
from service.settings import RateText

KEY_PREFIX = "pir_"
LOCK_S = 5.0  # a change takes milliseconds
OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class KeyScope(StrEnum):
    """What a key allows: look at jobs and models, make and end jobs, read the figures of operation."""

    READ = "read"
    WRITE = "write"
    METRICS = "metrics"


ALL_SCOPES = frozenset(KeyScope)


class UnknownKeyError(Exception):
    """There is no such key."""


class UnknownOwnerError(Exception):
    """No key has this owner."""


class KeysAwayError(Exception):
    """There are keys, but the file that holds them cannot be read or changed. The text says why."""


OwnerName = Annotated[str, Field(pattern=f"^{OWNER.pattern}$")]


class KeyRecord(BaseModel):
    """What is kept of one key. `owner` is whose jobs it sees; several keys may have one owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: OwnerName
    digest: str
    scopes: frozenset[KeyScope] = ALL_SCOPES
    rate: RateText | None = None  # requests; unset: the service's default
    quota: RateText | None = None  # jobs; unset: the service's default
    created_at: datetime
    revoked_at: datetime | None = None


class OwnerLimits(BaseModel):
    """What all keys of one owner may do together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: RateText | None = None  # requests; unset: there is no bound but each key's
    quota: RateText | None = None  # jobs


class _Kept(BaseModel):
    """The file's content. While no owner has limits it is the list of keys alone, as versions before read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[KeyRecord, ...] = ()
    owners: dict[OwnerName, OwnerLimits] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_a_list(cls, value: Any) -> Any:
        return {"keys": value} if isinstance(value, list) else value

    def text(self) -> str:
        """As it is written."""
        if self.owners:
            return self.model_dump_json(indent=1)
        return "[" + ",\n ".join(record.model_dump_json(indent=1) for record in self.keys) + "]"


class KeyFile:
    """The keys in `path`, read again whenever the file has changed: a key made or revoked counts at once.

    The lock beside it is made with the first key and stays: where it lies, a missing file is no reason to do without
    keys. Whoever wants that removes both.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_suffix(".lock")
        self._seen: tuple[int, int, int] | None = None
        self._kept = _Kept()

    @property
    def keyed(self) -> bool:
        """Whether a key was ever made, though all were revoked since, or the file is gone or broken."""
        return bool(self._kept.keys) or self._path.exists() or self._lock_path.exists()

    def records(self) -> tuple[KeyRecord, ...]:
        """All keys, revoked ones too. Raises KeysAwayError."""
        return self._known().keys

    def limits(self, owner: str) -> OwnerLimits:
        """What an owner's keys may do together. Raises KeysAwayError."""
        return self._known().owners.get(owner, OwnerLimits())

    def _known(self) -> _Kept:
        try:
            return self._read()
        except FileNotFoundError as error:
            if not self.keyed:
                return _Kept()
            raise KeysAwayError(
                f"{self._path} is gone, though keys were made: put it back, or make a new key, or remove "
                f"{self._lock_path} to do without keys"
            ) from error

    def find(self, key: str) -> KeyRecord | None:
        """The record of a key that is valid now. Raises KeysAwayError."""
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
        """A new key and its record; the key is nowhere else.

        Raises pydantic.ValidationError, KeysAwayError. Where the file was gone, the new key is the only one.
        """
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        record = KeyRecord(
            id=secrets.token_hex(4), owner=owner, digest=digest_of(key), scopes=scopes, rate=rate, quota=quota,
            created_at=datetime.now(UTC),
        )  # fmt: skip
        with self._changing():
            kept = self._read_if_there()
            self._write(kept.model_copy(update={"keys": (*kept.keys, record)}))
        return key, record

    def limit(self, owner: str, limits: OwnerLimits) -> None:
        """Bound what all keys of an owner do together, in place of what bounded it before; empty limits are none.

        Raises UnknownOwnerError, KeysAwayError.
        """
        self._check_owner(owner)  # for one that is not there nothing is locked, nor made
        with self._changing():
            self._check_owner(owner)
            kept = self._known()
            owners = {name: each for name, each in kept.owners.items() if name != owner}
            if limits != OwnerLimits():
                owners[owner] = limits
            self._write(kept.model_copy(update={"owners": owners}))

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key; its owner's other keys and jobs stay. Raises UnknownKeyError, KeysAwayError."""
        self._by_id(key_id)  # for a key that is not there nothing is locked, nor made
        with self._changing():
            records = self._by_id(key_id)
            record = records[key_id]
            if record.revoked_at is None:
                record = record.model_copy(update={"revoked_at": datetime.now(UTC)})
                keys = tuple({**records, key_id: record}.values())
                self._write(self._known().model_copy(update={"keys": keys}))
        return record

    def _by_id(self, key_id: str) -> dict[str, KeyRecord]:
        """All keys by their ids, of which `key_id` is one."""
        records = {record.id: record for record in self.records()}
        if key_id not in records:
            raise UnknownKeyError(f"there is no key {key_id!r}; there are {', '.join(records) or 'none'}")
        return records

    def _check_owner(self, owner: str) -> None:
        owners = sorted({record.owner for record in self.records()})
        if owner not in owners:
            raise UnknownOwnerError(f"{owner!r} has no key; owners of keys are {', '.join(owners) or 'none'}")

    def _read(self) -> _Kept:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._kept = _Kept.model_validate_json(read_regular(self._path, most=None))
                self._seen = seen
        except FileNotFoundError:
            raise
        except OSError as error:
            raise KeysAwayError(f"{self._path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise KeysAwayError(f"{self._path} is not a file of keys: {first['msg']}") from error
        return self._kept

    def _read_if_there(self) -> _Kept:
        with contextlib.suppress(FileNotFoundError):
            return self._read()
        return _Kept()

    def _write(self, kept: _Kept) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(kept.text().encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock: who changes the file reads it first, and two must not do so at once."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_lock(self._lock_path)
        try:
            deadline = time.monotonic() + LOCK_S
            while not _locked(lock):
                if time.monotonic() > deadline:
                    raise KeysAwayError(f"another process has held {self._lock_path} for {LOCK_S:g} s; end it first")
                time.sleep(0.05)
            yield
        finally:
            os.close(lock)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def digest_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
