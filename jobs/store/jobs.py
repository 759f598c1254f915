"""The job store: jobs in Redis, every transition atomic, a worker's writes fenced by its lock."""

from typing import Self, cast

from redis import Redis

from jobs.problems import Problem, ProblemType
from jobs.schemas import JobSpec, JobStatus, Webhook, input_files
from jobs.settings import LIVE_S
from jobs.store.claims import Claims
from jobs.store.counters import Figures
from jobs.store.lookups import READING, Reading, records_of
from jobs.store.records import JobRecord
from jobs.store.scripts import JobStoreError
from jobs.store.turns import Turns
from jobs.store.upkeep import Upkeep
from jobs.store.webhooks import Notices
from jobs.store.workers import Workers

KEPT = ("files", "records")
UNBOUNDED = 2**53  # Lua counts no further
RECORD_BYTES = 6144  # what Redis holds of a job beside its specification, about: its events most of all

# kind, owner, specification, retention in seconds, the same of a canceled job, queue bound, an owner's bound, places
# for owners of whom no job waits, bytes of the job's files, an owner's bounds of bytes of files and of records, then
# further fields and their values -> 'full', 'share', 'reserved', 'files', 'records' or the job, as `read` says
CREATE = (
    READING
    + f"local RECORD_BYTES = {RECORD_BYTES}"
    + """
local kind, owner, text, retention, canceled_retention = unpack(ARGV, 3, 7)
local queue_limit, share, reserved, file_bytes, most_file_bytes, most_record_bytes = unpack(ARGV, 8, 13)
local waiting = redis.call('ZCARD', prefix .. 'queue:' .. kind)
local own = tonumber(redis.call('HGET', prefix .. 'waiting:' .. kind, owner) or 0)
if waiting >= tonumber(queue_limit) then return 'full' end
if own >= tonumber(share) then return 'share' end
if own > 0 and waiting >= queue_limit - reserved then return 'reserved' end
if kept('files', owner) + file_bytes > tonumber(most_file_bytes) then return 'files' end
local record_bytes = #text + RECORD_BYTES
for i = 14, #ARGV, 2 do record_bytes = record_bytes + #ARGV[i + 1] end
if kept('records', owner) + record_bytes > tonumber(most_record_bytes) then return 'records' end
local number = redis.call('INCR', prefix .. 'number')
redis.call('HSET', job, 'id', id, 'kind', kind, 'owner', owner, 'status', 'queued', 'number', number,
           'created_at', now(), 'queued_at', now(), 'retention', retention, 'canceled_retention', canceled_retention,
           'deliveries', 0)
for i = 14, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
if get('deadline_s') then
  local deadline = string.format('%.6f', tonumber(now()) + tonumber(get('deadline_s')))
  redis.call('HSET', job, 'deadline', deadline)
  redis.call('ZADD', prefix .. 'deadlines', deadline, id)
end
redis.call('SET', spec, text)
hold('files', file_bytes)
hold('records', record_bytes)
local start = math.max(math.floor(virtual()), tonumber(redis.call('ZSCORE', prefix .. 'ends:' .. kind, owner) or 0))
redis.call('ZADD', prefix .. 'ends:' .. kind, start + 1, owner)
enqueue(start + order(number))
redis.call('ZADD', prefix .. 'owner:' .. owner, number, id)
publish_status('queued')
return read({id})
"""
)

CANCEL = """
if redis.call('EXISTS', job) == 0 then return 'unknown' end
if not live() then return get('status') end
insist()
redis.call('HSET', job, 'cancel', 1)
if redis.call('EXISTS', lock) == 0 then finish('canceled') end
return 'ok'
"""


class QueueFullError(JobStoreError):
    """As many jobs of this kind wait as are allowed."""


class ShareUsedError(JobStoreError):
    """As many of the owner's jobs of this kind wait as are allowed to one owner."""


class ReservedError(JobStoreError):
    """The places that are left are for owners of whom no job of this kind waits."""


class OwnerBoundError(JobStoreError):
    """The owner would keep more bytes than allowed: `what` is "files" or "records"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} of this owner would be more than allowed")
        self.what = what


class JobStore(Reading, Turns, Claims, Notices, Upkeep, Workers):
    """Jobs in Redis, all that can be done with them. Synchronous and safe to share between threads.

    A job is made here, gets its turn (`Turns`), is claimed and ended by a worker (`Claims`), told of (`Notices`) and
    cleared away in the end (`Upkeep`).
    """

    @classmethod
    def connect(cls, url: str, *, live_s: int = LIVE_S) -> Self:
        """A store on the Redis at `url`; connects on first use."""
        return cls(Redis.from_url(url, decode_responses=True, health_check_interval=30), live_s=live_s)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def ping(self) -> None:
        """Raise redis.RedisError when Redis does not answer."""
        self._redis.ping()

    def create(
        self,
        job_id: str,
        spec: JobSpec,
        *,
        owner: str,
        retention_s: float = 86400.0,
        canceled_retention_s: float | None = None,
        queue_limit: int = 10_000,
        share: int | None = None,
        reserved: int = 0,
        max_file_bytes: int = UNBOUNDED,
        max_record_bytes: int = UNBOUNDED,
        webhook: Webhook | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> JobRecord:
        """Put a new job into its queue, at its owner's turn.

        Raises QueueFullError when `queue_limit` jobs of its kind wait already, ShareUsedError when `share` of its
        owner's do, ReservedError when one of its owner's does and no more than `reserved` places are left, and
        OwnerBoundError when the owner would keep more than `max_file_bytes` or `max_record_bytes`. A job that has not
        begun `deadline_s` seconds from now fails. Canceled, it is kept for `canceled_retention_s`.
        """
        kind = spec.kind.value
        # without fields that are not used: workers of the version before do not know the newest
        args = (
            kind,
            owner,
            spec.model_dump_json(exclude_none=True),
            retention_s,
            retention_s if canceled_retention_s is None else canceled_retention_s,
            queue_limit,
            queue_limit if share is None else share,
            reserved,
            sum(file.bytes for file in input_files(spec).values()),
            max_file_bytes,
            max_record_bytes,
        )
        late = Problem.of(ProblemType.DEADLINE_MISSED, f"the job did not begin within {deadline_s} s", got=deadline_s)
        notes = {
            "webhook": webhook.model_dump_json() if webhook else None,
            "request_id": request_id,
            "deadline_s": None if deadline_s is None else repr(deadline_s),
            "late": None if deadline_s is None else late.model_dump_json(),
        }
        fields = [each for name, value in notes.items() if value is not None for each in (name, value)]
        match self._run(CREATE, job_id, *args, *fields):
            case "full":
                raise QueueFullError(f"{queue_limit} {kind} jobs are waiting, which is all the queue holds")
            case "share":
                raise ShareUsedError(f"{share} {kind} jobs of this key's owner are waiting, which is all one may have")
            case "reserved":
                raise ReservedError(f"the last {reserved} places are for owners of whom no {kind} job waits")
            case "files" | "records" as what:
                raise OwnerBoundError(what)
            case found:
                return records_of(found)[0]

    def request_cancel(self, job_id: str) -> JobStatus | None:
        """Cancel a waiting job at once, ask the holder of a running one to stop.

        Returns the end the job had reached before, or None when the request was taken. Raises KeyError for an
        unknown job.
        """
        answer = self._run(CANCEL, job_id)
        if answer == "unknown":
            raise KeyError(job_id)
        return None if answer == "ok" else JobStatus(answer)

    def kept(self, owner: str) -> dict[str, int]:
        """The bytes that an owner keeps, of `files` in the artifact store and of `records` here."""
        with self._redis.pipeline(transaction=False) as pipe:
            for what in KEPT:
                pipe.hget(self._key("kept", what), owner)
            return {what: int(found or 0) for what, found in zip(KEPT, pipe.execute(), strict=True)}

    def kept_by_all(self) -> dict[str, int]:
        """The same of all owners together."""
        with self._redis.pipeline(transaction=False) as pipe:
            for what in KEPT:
                pipe.hvals(self._key("kept", what))
            return {what: sum(map(int, found)) for what, found in zip(KEPT, pipe.execute(), strict=True)}

    def figures(self) -> Figures:
        """What has been counted."""
        return Figures.from_hash(cast("dict[str, str]", self._redis.hgetall(self._key("metrics"))))
