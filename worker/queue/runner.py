"""One job from claim to end: what a task does, without Celery."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import structlog
import torch
from redis import RedisError

from jobs.credentials import ContentCredentials
from jobs.files.artifacts import ArtifactMissingError, ArtifactsAwayError
from jobs.files.opening import make_artifacts
from jobs.problems import Problem
from jobs.schemas import InputFile, JobKind, Progress, Result, input_files
from jobs.store.claims import ClaimLostError, JobCanceledError
from jobs.store.jobs import JobStore
from jobs.store.lease import Lease
from jobs.store.records import Claim, Refusal
from worker.make.output import Output
from worker.models import Models
from worker.problems import is_expected, problem_of
from worker.queue.heartbeat import Heartbeat
from worker.queue.makers import MAKERS, Inputs
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import PortraitCache, Workbench

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BROKEN_DEVICE_EXIT_CODE = 70  # EX_SOFTWARE


class Stored(NamedTuple):
    """The outcome of a job that succeeded: its result, the key of the file, and how many pictures are counted."""

    result: Result
    key: str
    made: dict[str, int]


class Unfinished(Enum):
    """The outcome of a job that neither succeeded nor failed."""

    CANCELED = "canceled"
    LET_GO = "let go"


class Runner:
    """Takes jobs by id and ends them: succeeded, failed or canceled. One in each worker process."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.store = JobStore.connect(settings.redis_url, live_s=settings.live_s)
        self._claims = self.store.claims
        self.models = Models.of(settings)
        self._settings = settings
        self._portraits = PortraitCache()
        self._credentials = ContentCredentials.of(settings)
        self._artifacts = make_artifacts(settings)
        self._host = socket.gethostname()
        self._holder = f"{self._host}:{os.getpid()}"
        self.heartbeat = Heartbeat(
            self.store.workers, self._holder, batch_size=settings.batch_size, every_s=settings.live_s / 4
        )

    def run(self, kind: JobKind, token: str) -> None:
        """Work on the job of a kind whose turn it is, if one waits. `token` is the id of the message that says so."""
        claim = self._next(kind, token)
        if claim is None:
            log.info("nothing waits", kind=kind.value)
            return
        with structlog.contextvars.bound_contextvars(job_id=claim.job_id, request_id=claim.request_id):
            self._run(claim)

    def _run(self, claim: Claim) -> None:
        log.info("job begins", kind=claim.spec.kind.value, attempt=claim.attempt)
        stages = Stages()
        try:
            with Lease(self._claims, claim) as lease:

                def report(stage: str, done: int, total: int | None) -> None:
                    lease.check()
                    with contextlib.suppress(RedisError):  # the lease outlasts a short absence, and then says so
                        self._claims.progress(claim, Progress(stage=stage, done=done, total=total))

                stages.report = report
                stages.check = lease.check
                self._end(claim, stages)
        except ClaimLostError:
            log.warning("claim lost, nothing is written")
        except RedisError as error:
            log.error("Redis is away; when the lease has lapsed the job is queued again", error=str(error))  # noqa: TRY400

    def _next(self, kind: JobKind, token: str) -> Claim | None:
        for job_id in self.store.turns.candidates(kind, token):
            claim = self._claim(job_id, token)
            if isinstance(claim, Claim):
                return claim
            log.info("stepped back", job_id=job_id, reason=claim.value)
        return None

    def _claim(self, job_id: str, token: str) -> Claim | Refusal:
        """Claim a job, also from a process of this machine that has died."""
        claim = self._claims.claim(job_id, holder=self._holder, token=token, lease_s=self._settings.lease_s)
        if claim is Refusal.BUSY:
            holder = self._claims.lock_holder(job_id)
            if holder is not None and self._is_dead(holder) and self._claims.break_lock(job_id, holder):
                log.warning("its worker died, taking over", job_id=job_id, holder=holder)
                claim = self._claims.claim(job_id, holder=self._holder, token=token, lease_s=self._settings.lease_s)
        return claim

    def _is_dead(self, holder: str) -> bool:
        """Whether the process `host:pid` is known not to live. This process works on one job at a time, so a lock in
        its own name is from an earlier process that had the same number."""
        host, _, pid = holder.rpartition(":")
        return host == self._host and (holder == self._holder or not _process_exists(int(pid)))

    def _end(self, claim: Claim, stages: Stages) -> None:
        """Work on the job and tell the store how it ended."""
        outcome = self._outcome(claim, stages)
        # from here on the exception and all it held, which may have been the memory that lacked, is gone
        if outcome is Unfinished.CANCELED:
            self._insist(self._claims.cancel, claim)
            log.info("job canceled")
            return
        if outcome is Unfinished.LET_GO:
            self._insist(self._let_go, claim)
            return
        for stage, seconds in stages.seconds.items():
            self._insist(self._claims.timing, claim, stage, seconds)
        if isinstance(outcome, Problem):
            self._insist(self._claims.fail, claim, outcome)
            return
        self._insist(self._claims.succeed, claim, outcome.result, key=outcome.key, made=outcome.made)
        log.info("job succeeded", seconds=round(sum(stages.seconds.values()), 3))

    def _outcome(self, claim: Claim, stages: Stages) -> Stored | Problem | Unfinished:
        try:
            files = [file.key for file in input_files(claim.spec).values()]
            self._insist(self._artifacts.clear, claim.job_id, files)
            maker = MAKERS[claim.spec.kind]
            with self._artifacts.draft(claim.job_id, maker.output_name(claim.spec)) as draft:
                made = self._work(claim, draft.path, stages)
                self._insist(self._claims.renew, claim)  # raises where another copy has the job: its result stays
                artifact = self._insist(draft.commit)
            result = Result(bytes=artifact.bytes, sha256=artifact.sha256, **made.told())
            return Stored(result, artifact.key, maker.counted(made))
        except JobCanceledError:
            return Unfinished.CANCELED
        except (ClaimLostError, RedisError):
            raise
        except ArtifactMissingError as error:
            self._insist(self._claims.renew, claim)  # raises ClaimLostError where the job and its files were deleted
            log.error("a file of the job is gone", error=str(error))  # noqa: TRY400
            return problem_of(error)
        except ArtifactsAwayError as error:  # no fault of the job's, which is not counted as begun
            log.error("files are away; the job is queued again", error=str(error), cause=str(error.__cause__))  # noqa: TRY400
            return Unfinished.LET_GO
        except SystemExit:  # the worker is told to stop
            self._let_go(claim)
            raise
        except torch.AcceleratorError:
            # A failed assertion on the device is final for a process. It dies, and the job is tried in another.
            log.exception("the accelerator is broken, leaving")
            os._exit(BROKEN_DEVICE_EXIT_CODE)
        except Exception as error:  # the edge: whatever happens, the job ends and the worker lives
            problem = problem_of(error)
            if is_expected(error):
                log.info("job failed", problem=problem.type, detail=problem.detail)
            else:
                log.exception("job failed unexpectedly")
            return problem

    def _let_go(self, claim: Claim) -> None:
        try:
            self._claims.renew(claim)
            self._claims.give_back(claim)
            log.info("job given back")
        except JobCanceledError:
            self._claims.cancel(claim)

    def _insist(self, tell: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """Do what needs a store, and wait for one that is away: what was made shall not be made again."""
        deadline = time.monotonic() + self._settings.lease_s * 2 / 3  # later the job is another's
        waiting = False
        while True:
            try:
                return tell(*arguments, **keywords)
            except (RedisError, ArtifactsAwayError) as error:
                if time.monotonic() > deadline:
                    raise
                if not waiting:
                    log.warning("waiting for a store that is away", error=str(error))
                waiting = True
                time.sleep(0.2)

    def _work(self, claim: Claim, path: Path, stages: Stages) -> Output:
        bench = Workbench(self.models, self._settings, stages, self._portraits, self._credentials, claim.owner)
        with contextlib.ExitStack() as stack:

            def fetch(file: InputFile) -> Path:
                return self._insist(lambda: stack.enter_context(self._artifacts.reading(file.key)))

            return MAKERS[claim.spec.kind].make(bench, claim.spec, Inputs(fetch, bench), path)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
