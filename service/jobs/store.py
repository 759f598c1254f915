"""The job store: jobs in Redis, every transition atomic, a worker's writes fenced by its lock."""

from typing import Self, cast

from redis import Redis

from service.jobs.claims import Claims
from service.jobs.figures import Figures
from service.jobs.notices import Notices
from service.jobs.problems import Problem, ProblemType
from service.jobs.reading import READING, Reading, records_of
from service.jobs.records import JobRecord
from service.jobs.schemas import JobSpec, JobStatus, Webhook
from service.jobs.scripts import JobStoreError
from service.jobs.turns import Turns
from service.jobs.upkeep import Upkeep
from service.jobs.workers import Workers

# kind, owner, specification, retention in seconds, queue bound, an owner's bound, then further fields and their
# values -> 'full', 'share' or the job, as `read` says
CREATE = (
    READING
    + """
local kind, owner = ARGV[3], ARGV[4]
if redis.call('ZCARD', prefix .. 'queue:' .. kind) >= tonumber(ARGV[7]) then return 'full' end
if tonumber(redis.call('HGET', prefix .. 'waiting:' .. kind, owner) or 0) >= tonumber(ARGV[8]) then return 'share' end
local number = redis.call('INCR', prefix .. 'number')
redis.call('HSET', job, 'id', id, 'kind', kind, 'owner', owner, 'status', 'queued', 'number', number,
           'created_at', now(), 'queued_at', now(), 'retention', ARGV[6], 'deliveries', 0)
for i = 9, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
if get('deadline_s') then
  local deadline = string.format('%.6f', tonumber(now()) + tonumber(get('deadline_s')))
  redis.call('HSET', job, 'deadline', deadline)
  redis.call('ZADD', prefix .. 'deadlines', deadline, id)
end
redis.call('SET', spec, ARGV[5])
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
redis.call('HSET', job, 'cancel', 1)
if redis.call('EXISTS', lock) == 0 then finish('canceled') end
return 'ok'
"""


class QueueFullError(JobStoreError):
    """As many jobs of this kind wait as are allowed."""


class ShareUsedError(JobStoreError):
    """As many of the owner's jobs of this kind wait as are allowed to one owner."""


class JobStore(Reading, Turns, Claims, Notices, Upkeep, Workers):
    """Jobs in Redis, all that can be done with them. Synchronous and safe to share between threads.

    A job is made here, gets its turn (`Turns`), is claimed and ended by a worker (`Claims`), told of (`Notices`) and
    cleared away in the end (`Upkeep`).
    """

    @classmethod
    def connect(cls, url: str) -> Self:
        """A store on the Redis at `url`; connects on first use."""
        return cls(Redis.from_url(url, decode_responses=True, health_check_interval=30))

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
        queue_limit: int = 10_000,
        share: int | None = None,
        webhook: Webhook | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> JobRecord:
        """Put a new job into its queue, at its owner's turn.

        Raises QueueFullError when `queue_limit` jobs of its kind wait already, ShareUsedError when `share` of its
        owner's do. A job that has not begun `deadline_s` seconds from now fails.
        """
        kind = spec.kind.value
        args = (kind, owner, spec.model_dump_json(), retention_s, queue_limit, queue_limit if share is None else share)
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

    def figures(self) -> Figures:
        """What has been counted."""
        return Figures.from_hash(cast("dict[str, str]", self._redis.hgetall(self._key("metrics"))))
