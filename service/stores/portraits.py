"""Portraits uploaded once and used by many jobs; a job gets a file of its own, so a portrait may go while jobs wait."""

import time
from datetime import UTC, datetime
from typing import cast

from pydantic import BaseModel, ConfigDict

from jobs.schemas import InputFile
from jobs.store.jobs import OwnerBoundError
from jobs.store.scripts import JobStoreError, Scripted


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


# owner, record without its number, when it expires, how many portraits one owner may keep, bytes of the file, how many
# bytes one owner may keep -> 'many', 'files' or the number
CREATE = """
local owner, expires, bytes = ARGV[3], ARGV[5], ARGV[7]
if redis.call('ZCARD', prefix .. 'portraits:' .. owner) >= tonumber(ARGV[6]) then return 'many' end
if kept('files', owner) + bytes > tonumber(ARGV[8]) then return 'files' end
keep('files', owner, bytes)
local record = cjson.decode(ARGV[4])
record.number = redis.call('INCR', prefix .. 'number')
redis.call('SET', prefix .. 'portrait:' .. id, cjson.encode(record))
redis.call('ZADD', prefix .. 'portraits:' .. owner, record.number, id)
redis.call('ZADD', prefix .. 'portraits', expires, id)
return record.number
"""

# record, when it expires now
USE = """
if redis.call('SET', prefix .. 'portrait:' .. id, ARGV[3], 'XX') then
  redis.call('ZADD', prefix .. 'portraits', ARGV[4], id)
end
"""

DELETE = """
redis.call('ZREM', prefix .. 'portraits', id)
local text = redis.call('GETDEL', prefix .. 'portrait:' .. id)
if not text then return end
local record = cjson.decode(text)
redis.call('ZREM', prefix .. 'portraits:' .. record.owner, id)
keep('files', record.owner, -record.file.bytes)
"""


class TooManyPortraitsError(JobStoreError):
    """As many portraits are kept for the owner as may be."""


class PortraitStore(Scripted):
    """Portraits in Redis: `portrait:ID` holds a record, `portraits:OWNER` and `portraits` order them by number and
    expiry. Their files lie in the artifact store under the portrait's id, and count as kept by their owner."""

    def create(
        self,
        portrait_id: str,
        owner: str,
        file: InputFile,
        *,
        width: int,
        height: int,
        retention_s: float,
        most: int,
        max_file_bytes: int,
    ) -> PortraitRecord:
        """Keep a portrait until nobody has used it for `retention_s`.

        Raises TooManyPortraitsError when its owner has `most` already, OwnerBoundError when the owner would keep more
        than `max_file_bytes`.
        """
        now = time.time()
        record = PortraitRecord(
            id=portrait_id, owner=owner, number=0, file=file, width=width, height=height,
            created_at=datetime.fromtimestamp(now, UTC), expires_at=datetime.fromtimestamp(now + retention_s, UTC),
        )  # fmt: skip
        text = record.model_dump_json()
        match self._run(CREATE, portrait_id, owner, text, now + retention_s, most, file.bytes, max_file_bytes):
            case "many":
                raise TooManyPortraitsError(f"{most} portraits are kept for this owner, which is all there may be")
            case "files":
                raise OwnerBoundError("files")
            case number:
                return record.model_copy(update={"number": number})

    def get(self, portrait_id: str) -> PortraitRecord | None:
        """The portrait, or None when there is no such portrait (any more)."""
        text = self._redis.get(self._key("portrait", portrait_id))
        return None if text is None else PortraitRecord.model_validate_json(cast(str, text))

    def use(self, record: PortraitRecord, *, retention_s: float) -> PortraitRecord:
        """Put off a portrait's expiry."""
        expires = time.time() + retention_s
        used = record.model_copy(update={"expires_at": datetime.fromtimestamp(expires, UTC)})
        self._run(USE, record.id, used.model_dump_json(), expires)
        return used

    def delete(self, portrait_id: str) -> None:
        """Forget a portrait. The caller removes its file."""
        self._run(DELETE, portrait_id)

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
            self.delete(portrait_id)
        return ids
