"""The job store: jobs in Redis, every transition atomic, a worker's writes fenced by its lock."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, cast

from redis import Redis

from service.jobs import scripts
from service.jobs.figures import Figures
from service.jobs.outlook import Outlook
from service.jobs.problems import Problem, ProblemType
from service.jobs.queues import VISIBILITY_TIMEOUT_S
from service.jobs.records import Claim, JobRecord, Refusal
from service.jobs.schemas import JOB_SPEC, JobKind, JobSpec, JobStatus, Progress, Result, Webhook

MAX_DELIVERIES = 3
LEASE_SECONDS = 30.0
TOMBSTONE_SECONDS = 7 * 24 * 3600
TOKEN_SECONDS = 2 * VISIBILITY_TIMEOUT_S


class JobStoreError(Exception):
    """Root of what the job store raises."""


class QueueFullError(JobStoreError):
    """As many jobs of this kind wait as are allowed."""


class ShareUsedError(JobStoreError):
    """As many of the owner's jobs of this kind wait as are allowed to one owner."""


class ClaimLostError(JobStoreError):
    """The lock is another's or the job is gone: stop at once and write nothing more."""


class JobCanceledError(JobStoreError):
    """The client asked to cancel: stop and call `JobStore.cancel_claimed`."""


class JobStore:
    """Jobs in Redis. Synchronous and safe to share between threads."""

    def __init__(self, redis: Redis, *, prefix: str = "pirenderer:") -> None:
        self._redis = redis
        self._prefix = prefix
        self._scripts: dict[str, Callable[..., Any]] = {}

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

    # The front-end's side

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
        match self._run(scripts.CREATE, job_id, *args, *fields):
            case "full":
                raise QueueFullError(f"{queue_limit} {kind} jobs are waiting, which is all the queue holds")
            case "share":
                raise ShareUsedError(f"{share} {kind} jobs of this key's owner are waiting, which is all one may have")
            case found:
                return _records(found)[0]

    def get(self, job_id: str) -> JobRecord | None:
        """The job, or None when there is no such job (any more)."""
        return next(iter(self._read([job_id])), None)

    def spec(self, job_id: str) -> JobSpec | None:
        """The job's specification, or None when the job is unknown or expired."""
        text = self._redis.get(self._key("job", job_id, "spec"))
        return None if text is None else JOB_SPEC.validate_json(cast(str, text))

    def page(self, owner: str, *, limit: int = 50, before: int | None = None) -> tuple[list[JobRecord], int | None]:
        """One page of an owner's jobs, newest first, and the `before` of the next page (None at the end)."""
        key = self._key("owner", owner)
        upper = "+inf" if before is None else f"({before}"
        found = cast("list[tuple[str, float]]", self._redis.zrevrangebyscore(
            key, upper, "-inf", start=0, num=limit + 1, withscores=True, score_cast_func=float
        ))  # fmt: skip
        page = found[:limit]
        records = self._read([job_id for job_id, _ in page])
        if gone := {job_id for job_id, _ in page} - {record.id for record in records}:
            self._redis.zrem(key, *gone)  # their tombstones have lapsed
        return records, int(page[-1][1]) if len(found) > limit else None

    def request_cancel(self, job_id: str) -> JobStatus | None:
        """Cancel a waiting job at once, ask the holder of a running one to stop.

        Returns the end the job had reached before, or None when the request was taken. Raises KeyError for an
        unknown job.
        """
        answer = self._run(scripts.CANCEL, job_id)
        if answer == "unknown":
            raise KeyError(job_id)
        return None if answer == "ok" else JobStatus(answer)

    def delete(self, job_id: str) -> bool:
        """Forget the job. A worker that holds it learns so at its next write. The caller removes the artifacts."""
        return bool(self._run(scripts.DELETE, job_id))

    def queue_lengths(self) -> dict[JobKind, int]:
        """How many jobs of each kind wait."""
        with self._redis.pipeline(transaction=False) as pipe:
            for kind in JobKind:
                pipe.zcard(self._key("queue", kind.value))
            return dict(zip(JobKind, cast("list[int]", pipe.execute()), strict=True))

    def waiting(self, kind: JobKind, owner: str) -> tuple[int, int]:
        """How many jobs of a kind wait, and how many of them are an owner's."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(self._key("queue", kind.value))
            pipe.hget(self._key("waiting", kind.value), owner)
            every, own = pipe.execute()
        return int(every), int(own or 0)

    def oldest_waiting_s(self) -> dict[JobKind, float]:
        """How long the job at the head of each queue has waited, in seconds; 0 where none waits."""
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        heads = {kind: self._redis.zrange(self._key("queue", kind.value), 0, 0) for kind in JobKind}
        records = {kind: self.get(cast("list[str]", head)[0]) if head else None for kind, head in heads.items()}
        return {
            kind: 0.0 if record is None else max(0.0, now - record.created_at.timestamp())
            for kind, record in records.items()
        }

    def figures(self) -> Figures:
        """What has been counted."""
        return Figures.from_hash(cast("dict[str, str]", self._redis.hgetall(self._key("metrics"))))

    def workers(self) -> dict[str, dict[str, str]]:
        """What each live worker said of itself last, by its name `host:pid`."""
        heard = self._redis.time()[0] - scripts.LIVE_SECONDS
        names = cast("list[str]", self._redis.zrangebyscore(self._key("workers"), heard, "+inf"))
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._key("worker", name))
            return dict(zip(names, cast("list[dict[str, str]]", pipe.execute()), strict=True))

    def running_count(self) -> int:
        """How many jobs are held by workers."""
        return self._redis.zcard(self._key("running"))

    # Webhooks, by the front-end

    def due_webhooks(self, count: int, *, lease_s: float) -> list[str]:
        """Jobs whose webhooks are to be sent now, at most `count`; they are the caller's for `lease_s` seconds."""
        return cast("list[str]", self._run(scripts.DUE_WEBHOOKS, "", count, lease_s))

    def retry_webhook(self, job_id: str, *, after_s: float) -> None:
        """Count an attempt that failed; the next is due after `after_s` seconds."""
        self._run(scripts.RETRY_WEBHOOK, job_id, after_s)

    def end_webhook(self, job_id: str, outcome: str) -> None:
        """Send no more: `outcome` is a status of service.jobs.schemas.WebhookState."""
        self._run(scripts.END_WEBHOOK, job_id, outcome)

    # Housekeeping, by the front-end

    def recover_orphans(self, *, lease_s: float = LEASE_SECONDS) -> list[tuple[str, JobKind]]:
        """Queue again every running job whose holder's lease, of at most `lease_s`, has lapsed; the caller sends their
        messages anew."""
        recovered = []
        for job_id in cast("list[str]", self._redis.zrange(self._key("running"), 0, -1)):
            if self._run(scripts.RECOVER, job_id, int(1000 * lease_s)) and (record := self.get(job_id)) is not None:
                recovered.append((job_id, record.kind))
        return recovered

    def due_for_resend(self, kind: JobKind, *, messages: int, age_s: float) -> list[str]:
        """As many waiting jobs as there are too few `messages`, of those whose last was sent `age_s` seconds ago.

        A message was lost: its sender died before sending it, or a worker died that had taken it. The caller sends
        it anew; should it turn up after all, the worker that takes it finds nothing to do.
        """
        waiting = cast("list[str]", self._redis.zrange(self._key("queue", kind.value), 0, -1))
        lacking = len(waiting) - messages
        due: list[str] = []
        for job_id in waiting if lacking > 0 else []:
            if len(due) < lacking and self._run(scripts.RESEND, job_id, age_s):
                due.append(job_id)
        return due

    def fail_late(self) -> list[str]:
        """Fail the waiting jobs whose deadlines have passed."""
        seconds, _ = self._redis.time()
        return [job_id for job_id in self._due("deadlines", seconds) if self._run(scripts.LATE, job_id)]

    def expire_due(self, *, tombstone_s: float = TOMBSTONE_SECONDS) -> list[str]:
        """Turn finished jobs whose time has come into tombstones; the caller removes their artifacts.

        Tombstones older than `tombstone_s` are forgotten.
        """
        seconds, _ = self._redis.time()
        for job_id in self._due("tombstones", seconds):
            self._run(scripts.DELETE, job_id)
        return [job_id for job_id in self._due("expiring", seconds) if self._run(scripts.EXPIRE, job_id, tombstone_s)]

    def _due(self, name: str, now: float) -> list[str]:
        return cast("list[str]", self._redis.zrangebyscore(self._key(name), "-inf", now, start=0, num=1000))

    # The worker's side

    def turns(self, kind: JobKind, token: str) -> Iterator[str]:
        """The jobs a message calls for: the one it was used for before, if it is sent again, then whose turn it is.

        A message says that some job of its kind waits, not which; `token` is its id. Claim the first that can be had.
        """
        if before := self.job_of_token(token):
            yield before
        yield from cast("list[str]", self._redis.zrange(self._key("queue", kind.value), 0, 99))

    def job_of_token(self, token: str) -> str | None:
        """The job that the message with this id was used for."""
        return cast("str | None", self._redis.get(self._key("token", token)))

    def beat(self, holder: str, facts: Mapping[str, str | float]) -> None:
        """Say that the worker `holder` lives, and what it is."""
        pairs = [each for name, value in facts.items() for each in (name, value)]
        self._run(scripts.BEAT, holder, 3 * scripts.LIVE_SECONDS, *pairs)

    def leave(self, holder: str) -> None:
        """Say that the worker `holder` ends."""
        self._redis.zrem(self._key("workers"), holder)
        self._redis.delete(self._key("worker", holder))

    def claim(
        self,
        job_id: str,
        *,
        holder: str,
        token: str = "",
        lease_s: float = LEASE_SECONDS,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> Claim | Refusal:
        """Take a job for `lease_s` seconds, or say why not. `holder` names the process, as `host:pid`, and `token`
        the message that called for it."""
        lock = f"{holder}|{secrets.token_hex(8)}"
        lease_ms = int(1000 * lease_s)
        poison = Problem.of(
            ProblemType.WORKER_LOST, f"given up after {max_deliveries} attempts that each ended its worker"
        ).model_dump_json()
        outcome, *rest = self._run(scripts.CLAIM, job_id, lock, lease_ms, max_deliveries, poison, token, TOKEN_SECONDS)
        if outcome != "claimed":
            return Refusal(outcome)
        attempt, spec, request_id = rest
        return Claim(job_id, lock, lease_ms, int(attempt), JOB_SPEC.validate_json(spec), request_id or None)

    def renew(self, claim: Claim) -> None:
        """Keep the lock for another lease. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim, "")

    def progress(self, claim: Claim, progress: Progress) -> None:
        """Say where the job is, which also renews the lock. Raises ClaimLostError or JobCanceledError."""
        self._renew(claim, progress.model_dump_json())

    def timing(self, claim: Claim, stage: str, seconds: float) -> None:
        """Add `seconds` to the time spent in a stage. Raises ClaimLostError."""
        self._held(scripts.TIMING, claim, stage, repr(float(seconds)))

    def succeed(self, claim: Claim, result: Result, *, key: str) -> None:
        """End the job with the artifact `key`, which is whole by now. Raises ClaimLostError."""
        fields = ("result", result.model_dump_json(), "result_key", key)
        self._held(scripts.FINISH, claim, JobStatus.SUCCEEDED.value, *fields)

    def fail(self, claim: Claim, problem: Problem) -> None:
        """End the job with a problem. Raises ClaimLostError."""
        self._held(scripts.FINISH, claim, JobStatus.FAILED.value, "error", problem.model_dump_json())

    def cancel_claimed(self, claim: Claim) -> None:
        """End the job as canceled, in answer to JobCanceledError. Raises ClaimLostError."""
        self._held(scripts.FINISH, claim, JobStatus.CANCELED.value)

    def give_back(self, claim: Claim) -> None:
        """Return an unfinished job to its queue without counting the delivery (shutdown). Raises ClaimLostError."""
        self._held(scripts.GIVE_BACK, claim)

    def lock_holder(self, job_id: str) -> str | None:
        """Who holds the job (`host:pid`), or None."""
        value = self._redis.get(self._key("job", job_id, "lock"))
        return None if value is None else cast(str, value).partition("|")[0]

    def break_lock(self, job_id: str, holder: str) -> bool:
        """Free the lock if `holder` still has it; only for a holder known to be dead."""
        return bool(self._run(scripts.BREAK_LOCK, job_id, holder))

    def abandon(self, job_id: str, problem: Problem) -> bool:
        """Fail a live job whoever holds it: its message could not be sent, or its process was ended."""
        return bool(self._run(scripts.ABANDON, job_id, problem.model_dump_json()))

    def _renew(self, claim: Claim, progress: str) -> None:
        if self._held(scripts.RENEW, claim, claim.lease_ms, progress) == "canceled":
            raise JobCanceledError(f"job {claim.job_id} is to be canceled")

    def _held(self, script: str, claim: Claim, *args: str | float) -> str:
        answer = cast(str, self._run(script, claim.job_id, claim.lock, *args))
        if answer == "lost":
            raise ClaimLostError(f"job {claim.job_id} is no longer held by {claim.lock.partition('|')[0]}")
        return answer

    def _run(self, script: str, job_id: str, *args: str | float) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(scripts.PRELUDE + script)
        return self._scripts[script](keys=[], args=[self._prefix, job_id, *args])

    def _read(self, job_ids: Iterable[str]) -> list[JobRecord]:
        return _records(self._run(scripts.READ, "", *job_ids))

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)


def _records(found: Any) -> list[JobRecord]:
    """The jobs that `read` of the scripts found; those it was asked for and did not find are left out."""
    jobs, about = found
    outlook = None
    if about:
        pace, running, waiting, workers = about
        paces = {JobKind(kind): float(seconds) for kind, seconds in _pairs(pace).items()}
        outlook = Outlook(paces, dict(zip(JobKind, waiting, strict=True)), running=running, workers=workers)
    records = []
    for flat, place in jobs:
        fields = _pairs(flat)
        if "id" in fields:
            wait_s = outlook.wait_s(JobKind(fields["kind"]), place) if outlook and place is not None else None
            records.append(JobRecord.from_hash(fields, place, wait_s))
    return records


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
