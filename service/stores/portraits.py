"""Portraits uploaded once and used by many jobs; a job gets a file of its own, so a portrait may go while jobs wait."""

from datetime import UTC, datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from jobs.schemas import InputFile
from jobs.store.creation import NoRoomError, OwnerBoundError
from jobs.store.names import Key
from jobs.store.scripts import Call, Script, Scripts


class PortraitUrls(BaseModel):
    """Where to go from here."""

    self: str
    file: str


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

    def public(self, base: str) -> Portrait:
        """The portrait as the API shows it, whose addresses begin with `base`."""
        address = f"{base}/v1/portraits/{self.id}"
        return Portrait(
            urls=PortraitUrls(self=address, file=f"{address}/file"),
            **self.file.model_dump(exclude={"key"}),
            **self.model_dump(exclude={"owner", "number", "file"}),
        )


# Of all three `id` is a portrait's.

# owner, record (without its number), expires (a text), most (portraits that one owner may keep), bytes (of the file),
# max_file_bytes (that one owner may keep) -> 'many', what is kept already, or the number in a list
CREATE = Script("""
local owner = a.owner
if redis.call('ZCARD', OWNER_PORTRAITS .. owner) >= a.most then return 'many' end
if kept('files', owner) + a.bytes > a.max_file_bytes then return kept('files', owner) end
keep('files', owner, a.bytes)
local record = cjson.decode(a.record)
record.number = redis.call('INCR', NUMBER)
redis.call('SET', PORTRAIT .. id, cjson.encode(record))
redis.call('ZADD', OWNER_PORTRAITS .. owner, record.number, id)
redis.call('ZADD', PORTRAITS, a.expires, id)
return {record.number}
""")

# retention (seconds, if it is put off by that), owner (whose it has to be, if it matters) -> the record and when it
# expires, if there is such a portrait
READ = Script("""
local text = redis.call('GET', PORTRAIT .. id)
if not text or a.owner and cjson.decode(text).owner ~= a.owner then return end
if a.retention then
  redis.call('ZADD', PORTRAITS, string.format('%.6f', tonumber(now()) + a.retention), id)
end
return {text, redis.call('ZSCORE', PORTRAITS, id)}
""")

DELETE = Script("""
redis.call('ZREM', PORTRAITS, id)
local text = redis.call('GETDEL', PORTRAIT .. id)
if not text then return end
local record = cjson.decode(text)
redis.call('ZREM', OWNER_PORTRAITS .. record.owner, id)
keep('files', record.owner, -record.file.bytes)
""")


class TooManyPortraitsError(NoRoomError):
    """As many portraits are kept for the owner as may be."""

    def __init__(self, most: int) -> None:
        text = f"{most} portraits are kept for this owner, which is all one owner may have; delete some"
        super().__init__(text, got=most, allowed=most)


class PortraitStore:
    """Portraits in Redis. Their files lie in the artifact store under the portrait's id, and count as kept by their
    owner."""

    def __init__(self, scripts: Scripts) -> None:
        self._do = scripts.do
        self._run = scripts.run
        self._redis = scripts.redis
        self._now = scripts.now

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
        now = self._now()
        record = PortraitRecord(
            id=portrait_id, owner=owner, number=0, file=file, width=width, height=height,
            created_at=datetime.fromtimestamp(now, UTC), expires_at=datetime.fromtimestamp(now + retention_s, UTC),
        )  # fmt: skip
        answer = self._run(
            CREATE,
            portrait_id,
            owner=owner,
            record=record.model_dump_json(),
            expires=repr(now + retention_s),
            most=most,
            bytes=file.bytes,
            max_file_bytes=max_file_bytes,
        )
        match answer:
            case "many":
                raise TooManyPortraitsError(most)
            case [number]:
                return record.model_copy(update={"number": number})
            case kept:
                raise OwnerBoundError("files", int(kept), max_file_bytes)

    def get(self, portrait_id: str) -> PortraitRecord | None:
        """The portrait, or None when there is no such portrait (any more)."""
        return self._do(Call(READ, _read, portrait_id))

    def using(self, portrait_id: str, owner: str, *, retention_s: float) -> Call[PortraitRecord | None]:
        """An owner's portrait, whose expiry is put off; None when the owner has no such portrait (any more)."""
        return Call(READ, _read, portrait_id, {"owner": owner, "retention": retention_s})

    def delete(self, portrait_id: str) -> None:
        """Forget a portrait. The caller removes its file."""
        self._run(DELETE, portrait_id)

    def count(self, owner: str) -> int:
        """How many portraits an owner keeps."""
        return self._redis.zcard(Key.OWNER_PORTRAITS + owner)

    def page(self, owner: str, *, limit: int, before: int | None = None) -> tuple[list[PortraitRecord], int | None]:
        """One page of an owner's portraits, newest first, and the `before` of the next page (None at the end)."""
        upper = "+inf" if before is None else f"({before}"
        ids = self._redis.zrevrangebyscore(Key.OWNER_PORTRAITS + owner, upper, "-inf", start=0, num=limit + 1)
        found = [self.get(each) for each in cast("list[str]", ids)]
        records = [record for record in found if record is not None]
        return records[:limit], records[limit - 1].number if len(records) > limit else None

    def expire_due(self) -> list[str]:
        """Forget the portraits whose time has come; the caller removes their files."""
        due = self._redis.zrangebyscore(Key.PORTRAITS, "-inf", self._now(), start=0, num=1000)
        ids = cast("list[str]", due)
        for portrait_id in ids:
            self.delete(portrait_id)
        return ids


def _read(found: Any) -> PortraitRecord | None:
    if found is None:
        return None
    text, expires = found
    record = PortraitRecord.model_validate_json(text)  # in which stands when it would have expired had nobody used it
    return record.model_copy(update={"expires_at": datetime.fromtimestamp(float(expires), UTC)})
