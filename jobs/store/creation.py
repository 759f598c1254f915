"""How a job comes into its queue: whether there is room for it, and all that it takes made in one step.

What is said here is a call (jobs/store/scripts.py), so that whoever runs it may be a thread or an event loop.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jobs.problems import Problem, ProblemType
from jobs.schemas import JobKind, JobSpec, input_files
from jobs.store.lookups import READING, records_of
from jobs.store.rates import COUNTING, Charge, Standing, standings_of
from jobs.store.records import JobRecord, Message
from jobs.store.scripts import Call, JobStoreError, Script
from jobs.webhooks import Webhook

UNBOUNDED = 2**53  # Lua counts no further
RECORD_BYTES = 6144  # what Redis holds of a job beside its specification, about: its events most of all
WEBHOOK_BYTES = 5120  # the same of its webhook's attempts, where it has one

# kind, owner, spec, retention and canceled_retention (seconds, as texts), queue_limit, share (an owner's bound),
# reserved (places for owners of whom no job waits), file_bytes (of the job), max_file_bytes and max_record_bytes (an
# owner's bounds), fields (further ones), rates (what it counts as, see jobs/store/rates.py), queue and message (sent
# for it, if any), remembered (key, text and seconds of what a request led to, if it is to be known), live_s
# -> 'full', 'share', 'reserved', 'files', 'records', 'taken', 'rates' or 'made'; what the owner keeps; what `count_all`
# says; the job, as `read` says. One that is there already, since an answer was lost, is not made twice
CREATE = Script(
    READING
    + COUNTING
    + f"local RECORD_BYTES, WEBHOOK_BYTES = {RECORD_BYTES}, {WEBHOOK_BYTES}"
    + """
local kind, owner = a.kind, a.owner
if redis.call('EXISTS', job) == 1 then return {'made', 0, count_all(a.rates, false), read({id})} end
local begun = a.remembered and redis.call('GET', a.remembered.key)
if begun and begun ~= id then return {'taken'} end
local waiting = redis.call('ZCARD', QUEUE .. kind)
local own = tonumber(redis.call('HGET', WAITING .. kind, owner) or 0)
if waiting >= a.queue_limit then return {'full'} end
if own >= a.share then return {'share'} end
if own > 0 and waiting >= a.queue_limit - a.reserved then return {'reserved'} end
local files, records = kept('files', owner), kept('records', owner)
if files + a.file_bytes > a.max_file_bytes then return {'files', files} end
local record_bytes = #a.spec + RECORD_BYTES + (a.fields.webhook and WEBHOOK_BYTES or 0)
for _, value in pairs(a.fields) do record_bytes = record_bytes + #value end
if records + record_bytes > a.max_record_bytes then return {'records', records} end
local counted = count_all(a.rates, true)
if counted[1] > 0 then return {'rates', 0, counted} end
if a.message then redis.call('LPUSH', a.queue, a.message) end  -- first of all: where it fails there is no job
local number = redis.call('INCR', NUMBER)
redis.call('HSET', job, 'id', id, 'kind', kind, 'owner', owner, 'status', QUEUED, 'number', number,
           'created_at', now(), 'queued_at', now(), 'retention', a.retention,
           'canceled_retention', a.canceled_retention, 'deliveries', 0)
for field, value in pairs(a.fields) do redis.call('HSET', job, field, value) end
if get('deadline_s') then
  local deadline = string.format('%.6f', tonumber(now()) + tonumber(get('deadline_s')))
  redis.call('HSET', job, 'deadline', deadline)
  redis.call('ZADD', DEADLINES, deadline, id)
end
redis.call('SET', spec, a.spec)
hold('files', a.file_bytes)
hold('records', record_bytes)
local start = math.max(math.floor(virtual()), tonumber(redis.call('ZSCORE', ENDS .. kind, owner) or 0))
redis.call('ZADD', ENDS .. kind, start + 1, owner)
enqueue(start + order(number))
redis.call('ZADD', OWNER .. owner, number, id)
publish_status(QUEUED)
if a.remembered then redis.call('SET', a.remembered.key, a.remembered.text, 'EX', a.remembered.seconds) end
return {'made', 0, counted, read({id})}
"""
)

# kind, owner, rates -> how many jobs of the kind wait, how many of these are the owner's, what the owner keeps of files
# and of records, what `count_all` says
ASK = Script(
    COUNTING
    + """
local own = tonumber(redis.call('HGET', WAITING .. a.kind, a.owner) or 0)
return {redis.call('ZCARD', QUEUE .. a.kind), own, kept('files', a.owner), kept('records', a.owner),
        count_all(a.rates, false)}
"""
)


class NoRoomError(JobStoreError):
    """One more is too many where so much is there already (`got`) and no more than `allowed` may be.

    The text is for who asked.
    """

    def __init__(self, text: str, *, got: int, allowed: int) -> None:
        super().__init__(text)
        self.got = got
        self.allowed = allowed


class QueueFullError(NoRoomError):
    """As many jobs of this kind wait as are allowed."""

    def __init__(self, kind: JobKind, most: int) -> None:
        super().__init__(f"{most} {kind.value} jobs are waiting, which is all the queue holds", got=most, allowed=most)


class ShareUsedError(NoRoomError):
    """As many of the owner's jobs of this kind wait as are allowed to one owner."""

    def __init__(self, kind: JobKind, most: int) -> None:
        text = f"{most} {kind.value} jobs of this key's owner are waiting, which is all one owner may have"
        super().__init__(text, got=most, allowed=most)


class ReservedError(NoRoomError):
    """The places that are left are for owners of whom no job of this kind waits."""

    def __init__(self, kind: JobKind, places: int) -> None:
        text = f"the last {places} places of the queue are for owners of whom no {kind.value} job waits"
        super().__init__(text, got=places, allowed=places)


class OwnerBoundError(NoRoomError):
    """The owner would keep more bytes of `what`, "files" or "records", than allowed."""

    def __init__(self, what: str, kept: int, most: int) -> None:
        text = (
            f"{kept} bytes of {what} are kept for this owner, and no more than {most} may be; "
            "delete jobs or portraits, or wait until they expire"
        )
        super().__init__(text, got=kept, allowed=most)


class KeyTakenError(JobStoreError):
    """What was to be remembered has a key that is another request's by now."""


@dataclass(frozen=True)
class Room:
    """How many jobs of a kind wait, how many of these are an owner's, what the owner keeps, how its charges stand."""

    waiting: int
    own: int
    kept: dict[str, int]
    standings: list[Standing]


@dataclass(frozen=True)
class Remembered:
    """What is to be known of the request that makes a job, for so many seconds. Until then `key` holds the job's id."""

    key: str
    text: str
    seconds: int


@dataclass(frozen=True)
class Created:
    """A new job, and how its charges stand."""

    record: JobRecord
    standings: list[Standing]


@dataclass(frozen=True)
class Allowance:
    """How many jobs of a kind may wait, of these one owner's `share` (unset: all), and how many places are `reserved`
    for owners of whom none waits; how many bytes of files and records an owner may keep."""

    queue: int = 10_000
    share: int | None = None
    reserved: int = 0
    file_bytes: int = UNBOUNDED
    record_bytes: int = UNBOUNDED

    def check(self, kind: JobKind, room: Room) -> None:
        """Ask whether it has room for another job. Raises NoRoomError, of the kind that says what is lacking."""
        if room.waiting >= self.queue:
            raise QueueFullError(kind, self.queue)
        if self.share is not None and room.own >= self.share:
            raise ShareUsedError(kind, self.share)
        if room.own and room.waiting >= self.queue - self.reserved:
            raise ReservedError(kind, self.reserved)
        self.check_kept(room.kept)

    def check_kept(self, kept: Mapping[str, int]) -> None:
        """Ask whether an owner who keeps so much may keep more at all. Raises OwnerBoundError."""
        for what, most in self._kept.items():
            if kept[what] >= most:
                raise OwnerBoundError(what, kept[what], most)

    def refusal(self, why: Any, kind: JobKind) -> NoRoomError | None:
        """What the script that makes jobs refused one for, if it was for want of room."""
        match why:
            case ["full"]:
                return QueueFullError(kind, self.queue)
            case ["share"]:
                return ShareUsedError(kind, self.queue if self.share is None else self.share)
            case ["reserved"]:
                return ReservedError(kind, self.reserved)
            case ["files" | "records" as what, kept]:
                return OwnerBoundError(what, int(kept), self._kept[what])
        return None

    @property
    def _kept(self) -> dict[str, int]:
        return {"files": self.file_bytes, "records": self.record_bytes}


@dataclass(frozen=True)
class Retention:
    """How many seconds a job is kept after its end; a canceled one for `canceled_s`, or unset as long as others."""

    ended_s: float = 86400.0
    canceled_s: float | None = None


@dataclass(frozen=True)
class Terms:
    """What goes with a job and is not the worker's concern. One that has not begun in `deadline_s` seconds fails."""

    webhook: Webhook | None = None
    deadline_s: float | None = None
    metadata: Mapping[str, str] | None = None
    base_url: str | None = None
    remembered: Remembered | None = None
    request_id: str | None = None
    traceparent: str | None = None


class Creation:
    """Makes jobs. Workers that are not heard of for `live_s` seconds are not counted for how long a job will wait."""

    def __init__(self, live_s: int) -> None:
        self._live_s = live_s

    def asking(self, kind: JobKind, owner: str, charges: Sequence[Charge] = ()) -> Call[Room]:
        """How much room there is for a job of an owner, without making one. Raises TooManyError."""

        def read(found: Any) -> Room:
            waiting, own, files, records, counted = found
            standings = standings_of(charges, counted)
            return Room(int(waiting), int(own), {"files": int(files), "records": int(records)}, standings)

        return Call(ASK, read, arguments={"kind": kind, "owner": owner, "rates": [each.argument for each in charges]})

    def creating(
        self,
        job_id: str,
        spec: JobSpec,
        *,
        owner: str,
        terms: Terms = Terms(),
        allowance: Allowance = Allowance(),
        retention: Retention = Retention(),
        charges: Sequence[Charge] = (),
        message: Message | None = None,
    ) -> Call[Created]:
        """Put a new job into its queue, at its owner's turn, and all that goes with it: count it, send its `message`.

        Raises TooManyError when one of `charges` has no room for it, NoRoomError when it is more than the `allowance`,
        and KeyTakenError when the key of what is to be remembered is another's.
        """
        kind = JobKind(spec.kind)
        fields = {
            "webhook": terms.webhook.model_dump_json() if terms.webhook else None,
            "metadata": json.dumps(terms.metadata) if terms.metadata else None,
            "request_id": terms.request_id,
            "traceparent": terms.traceparent,
            "base_url": terms.base_url,
        }
        if (deadline_s := terms.deadline_s) is not None:
            # made now and stored, so that the script that sees the deadline missed can fail the job with it
            late = Problem.of(
                ProblemType.DEADLINE_MISSED, f"the job did not begin within {deadline_s} s", got=deadline_s
            )
            fields |= {"deadline_s": repr(deadline_s), "late": late.model_dump_json()}

        def read(answer: Any) -> Created:
            if answer == ["taken"]:
                raise KeyTakenError(f"the key of the request that was to make job {job_id} is another's by now")
            if (refusal := allowance.refusal(answer, kind)) is not None:
                raise refusal
            standings = standings_of(charges, answer[2])
            return Created(records_of(answer[3])[0].model_copy(update={"spec": spec}), standings)

        return Call(
            CREATE,
            read,
            job_id,
            {
                "kind": kind.value,
                "owner": owner,
                # without fields that are not used: workers of the version before do not know the newest
                "spec": spec.model_dump_json(exclude_none=True),
                "retention": str(retention.ended_s),
                "canceled_retention": str(retention.ended_s if retention.canceled_s is None else retention.canceled_s),
                "queue_limit": allowance.queue,
                "share": allowance.queue if allowance.share is None else allowance.share,
                "reserved": allowance.reserved,
                "file_bytes": sum(file.bytes for file in input_files(spec).values()),
                "max_file_bytes": allowance.file_bytes,
                "max_record_bytes": allowance.record_bytes,
                "fields": {name: value for name, value in fields.items() if value is not None},
                "rates": [each.argument for each in charges],
                "queue": message.queue if message else None,
                "message": message.text if message else None,
                "remembered": asdict(terms.remembered) if terms.remembered else None,
                "live_s": self._live_s,
            },
        )
