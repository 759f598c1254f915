"""The job store: jobs in Redis, every transition atomic, a worker's writes fenced by its lock."""

from typing import Any, Self, cast

from jobs.schemas import JobSpec, JobStatus, input_files
from jobs.settings import LIVE_S
from jobs.store.claims import Claims
from jobs.store.counters import Counters
from jobs.store.creation import Creation
from jobs.store.live import LiveSessions
from jobs.store.lookups import READ, Lookups, records_of
from jobs.store.names import Key
from jobs.store.records import JobRecord, Message
from jobs.store.scripts import Argument, Call, Script, Scripts
from jobs.store.segments import Segments
from jobs.store.turns import Turns
from jobs.store.upkeep import DELETE, Upkeep
from jobs.store.webhooks import Webhooks
from jobs.store.workers import Workers

KEPT = ("files", "records")

CANCEL = Script("""
if redis.call('EXISTS', job) == 0 then return 'unknown' end
if not live() then return get('status') end
insist()
redis.call('HSET', job, 'cancel', 1)
if not held() then finish(CANCELED) end
return 'ok'
""")


class JobStore:
    """Jobs in Redis, all that can be done with them. Synchronous and safe to share between threads.

    A job is made (`creation`), gets its turn (`turns`), is claimed and ended by a worker (`claims`), a video in parts
    (`segments`), told of (`webhooks`) and cleared away in the end (`upkeep`). Live sessions stand beside jobs (`live`).
    A worker that is not heard of for `live_s` seconds is not counted. What requests ask for most there is as a call as
    well (`getting`), which an event loop runs by itself (jobs/store/batches.py).
    """

    def __init__(self, scripts: Scripts, *, live_s: int = LIVE_S) -> None:
        self.do = scripts.do
        self._run = scripts.run
        self._redis = scripts.redis
        self._live_s = live_s
        self.creation = Creation(live_s)
        self.lookups = Lookups(scripts, live_s)
        self.turns = Turns(scripts)
        self.claims = Claims(scripts)
        self.segments = Segments(scripts, live_s)
        self.webhooks = Webhooks(scripts)
        self.upkeep = Upkeep(scripts)
        self.workers = Workers(scripts, live_s)
        self.live = LiveSessions(scripts)

    @classmethod
    def connect(cls, url: str, *, live_s: int = LIVE_S) -> Self:
        """A store on the Redis at `url`; connects on first use."""
        return cls(Scripts.connect(url), live_s=live_s)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def ping(self) -> None:
        """Raise redis.RedisError when Redis does not answer."""
        self._redis.ping()

    def create(self, job_id: str, spec: JobSpec, **more: Any) -> JobRecord:
        """What `creation.creating` says, run at once."""
        return self.do(self.creation.creating(job_id, spec, **more)).record

    def getting(self, job_id: str) -> Call[JobRecord | None]:
        """The job, or None when there is no such job (any more)."""
        arguments: dict[str, Argument] = {"ids": [job_id], "specs": True, "live_s": self._live_s}
        return Call(READ, lambda found: next(iter(records_of(found)), None), arguments=arguments)

    def get(self, job_id: str) -> JobRecord | None:
        """The same, run at once."""
        return self.do(self.getting(job_id))

    def send(self, message: Message) -> None:
        """Queue a message for workers. Raises redis.RedisError."""
        self._redis.lpush(message.queue, message.text)

    def files(self, job_id: str) -> list[str] | None:
        """The keys of a job's files: what it is made from, its result and what can be played of it.

        None where there is no such job, or its files are gone.
        """
        record, stream = self.get(job_id), self.segments.stream(job_id)
        if record is None or record.spec is None:
            return None
        inputs = [file.key for file in input_files(record.spec).values()]
        played = [] if stream is None else [stream.init, *(segment.key for segment in stream.segments)]
        return [*inputs, *played, *([record.result_key] if record.result_key else [])]

    def delete(self, job_id: str) -> bool:
        """Forget the job. A worker that holds it learns so at its next write. The caller removes the artifacts."""
        return bool(self._run(DELETE, job_id))

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
                pipe.hget(Key.KEPT + what, owner)
            return {what: int(found or 0) for what, found in zip(KEPT, pipe.execute(), strict=True)}

    def kept_by_all(self) -> dict[str, int]:
        """The same of all owners together."""
        return {what: sum(each) for what, each in self._kept().items()}

    def kept_by_one(self) -> dict[str, int]:
        """The same of the owner who keeps most."""
        return {what: max(each, default=0) for what, each in self._kept().items()}

    def memory(self) -> tuple[int, int]:
        """The bytes that Redis takes, and that it may take; 0 where nothing bounds them."""
        found = self._redis.info("memory")
        return int(found["used_memory"]), int(found["maxmemory"])

    def counters(self) -> Counters:
        """What has been counted."""
        return Counters.from_hash(cast("dict[str, str]", self._redis.hgetall(Key.METRICS)))

    def _kept(self) -> dict[str, list[int]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for what in KEPT:
                pipe.hvals(Key.KEPT + what)
            return {what: list(map(int, found)) for what, found in zip(KEPT, pipe.execute(), strict=True)}
