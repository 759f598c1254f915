"""Portraits uploaded once and used by many jobs; a job gets a file of its own, so a portrait may go while jobs wait."""

import time
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis

from service.jobs.schemas import InputFile


class PortraitUrls(BaseModel):
    """Where to go from here."""

    self: str


class Portrait(BaseModel):
    """An uploaded portrait. Its `id` stands for the file in forms, as `portrait_id`; each use puts off its expiry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    media_type: str
    bytes: int
    sha256: str
    width: int
    height: int
    created_at: datetime
    expires_at: datetime
    urls: PortraitUrls


class PortraitRecord(BaseModel):
    """A portrait as it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: str
    number: int
    file: InputFile
    width: int
    height: int
    created_at: datetime
    expires_at: datetime

    def public(self, root_path: str) -> Portrait:
        """The portrait as the API shows it, whose addresses begin with `root_path`."""
        return Portrait(
            urls=PortraitUrls(self=f"{root_path}/v1/portraits/{self.id}"),
            **self.file.model_dump(exclude={"key"}),
            **self.model_dump(exclude={"owner", "number", "file"}),
        )


class PortraitStore:
    """Portraits in Redis: `portrait:ID` holds a record, `portraits:OWNER` and `portraits` order them by number and
    expiry. Their files lie in the artifact store under the portrait's id."""

    def __init__(self, redis: Redis, *, prefix: str = "pirenderer:") -> None:
        self._redis = redis
        self._prefix = prefix

    def create(
        self, portrait_id: str, owner: str, file: InputFile, *, width: int, height: int, retention_s: float
    ) -> PortraitRecord:
        """Keep a portrait until nobody has used it for `retention_s`."""
        now = time.time()
        number = self._redis.incr(self._key("number"))
        record = PortraitRecord(
            id=portrait_id, owner=owner, number=number, file=file, width=width, height=height,
            created_at=datetime.fromtimestamp(now, UTC), expires_at=datetime.fromtimestamp(now + retention_s, UTC),
        )  # fmt: skip
        with self._redis.pipeline() as pipe:
            pipe.set(self._key("portrait", portrait_id), record.model_dump_json())
            pipe.zadd(self._key("portraits", owner), {portrait_id: number})
            pipe.zadd(self._key("portraits"), {portrait_id: now + retention_s})
            pipe.execute()
        return record

    def get(self, portrait_id: str) -> PortraitRecord | None:
        """The portrait, or None when there is no such portrait (any more)."""
        text = self._redis.get(self._key("portrait", portrait_id))
        return None if text is None else PortraitRecord.model_validate_json(cast(str, text))

    def use(self, record: PortraitRecord, *, retention_s: float) -> PortraitRecord:
        """Put off a portrait's expiry."""
        expires = time.time() + retention_s
        used = record.model_copy(update={"expires_at": datetime.fromtimestamp(expires, UTC)})
        if self._redis.set(self._key("portrait", record.id), used.model_dump_json(), xx=True):
            self._redis.zadd(self._key("portraits"), {record.id: expires})
        return used

    def delete(self, record: PortraitRecord) -> None:
        """Forget a portrait. The caller removes its file."""
        with self._redis.pipeline() as pipe:
            pipe.delete(self._key("portrait", record.id))
            pipe.zrem(self._key("portraits", record.owner), record.id)
            pipe.zrem(self._key("portraits"), record.id)
            pipe.execute()

    def count(self, owner: str) -> int:
        """How many portraits an owner keeps."""
        return self._redis.zcard(self._key("portraits", owner))

    def page(self, owner: str, *, limit: int, before: int | None = None) -> tuple[list[PortraitRecord], int | None]:
        """One page of an owner's portraits, newest first, and the `before` of the next page (None at the end)."""
        upper = "+inf" if before is None else f"({before}"
        ids = self._redis.zrevrangebyscore(self._key("portraits", owner), upper, "-inf", start=0, num=limit + 1)
        found = [self.get(each) for each in cast("list[str]", ids)]
        records = [record for record in found if record is not None]
        return records[:limit], records[limit - 1].number if len(records) > limit else None

    def expire_due(self) -> list[str]:
        """Forget the portraits whose time has come; the caller removes their files."""
        due = self._redis.zrangebyscore(self._key("portraits"), "-inf", time.time(), start=0, num=1000)
        ids = cast("list[str]", due)
        for portrait_id in ids:
            record = self.get(portrait_id)
            if record is not None:
                self.delete(record)
        return ids

    def _key(self, *parts: Any) -> str:
        return self._prefix + ":".join(parts)
