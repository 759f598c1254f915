"""One job, or one part of a video, from claim to end: what a task does, without Celery."""

import contextlib
import os
import secrets
import time
from contextlib import AbstractContextManager
from pathlib import Path

import structlog
import torch
from redis import RedisError

from jobs import tracing
from jobs.credentials import ContentCredentials
from jobs.files.artifacts import ArtifactMissingError, ArtifactsAwayError
from jobs.files.opening import make_artifacts
from jobs.machine import machine, worker
from jobs.messages import TASK_SOFT_TIME_LIMIT_S
from jobs.problems import Problem
from jobs.schemas import JobKind, Progress, Result, VideoSpec, input_files
from jobs.seeds import drawn_seed
from jobs.store.claims import JobCanceledError
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.lease import Lease
from jobs.store.records import Claim, Fragment, Turn
from worker.live.host import LiveHost
from worker.models import Models
from worker.problems import BROKEN_DEVICE_EXIT_CODE, is_expected, problem_of
from worker.queue import spans
from worker.queue.beside import Beside
from worker.queue.heartbeat import Heartbeat
from worker.queue.holds import Holds
from worker.queue.makers import MAKERS, Inputs
from worker.queue.outcomes import Planned, Stored, Unfinished
from worker.queue.patience import Patience
from worker.queue.videos import Videos, Work
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import PortraitCache, Workbench

log = structlog.get_logger(__name__)

ASIDE_S = TASK_SOFT_TIME_LIMIT_S / 2  # of a task, in which a plan may be set aside for what is more urgent


class Runner:
    """Takes jobs, or parts of them, and ends them: succeeded, failed or canceled. One in each worker process."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.store = JobStore.connect(settings.redis_url, live_s=settings.live_s)
        self._claims = self.store.claims
        self.models = Models.of(settings)
        self._settings = settings
        self._portraits = PortraitCache()
        self._credentials = ContentCredentials.of(settings)
        self._artifacts = make_artifacts(settings)
        self._makers = MAKERS
        self._insist = Patience(settings.lease_s)
        self._videos = Videos(self.store, self._artifacts, self._insist, most_workers=settings.workers_per_job)
        self._holder = f"{machine()}:{os.getpid()}"
        self._holds = Holds(
            self.store, self._holder, lease_s=settings.lease_s, tell=self._videos.tell, exhausted=self._tidy
        )
        self._live = LiveHost(
            self.store.live,
            self._artifacts,
            call=self.store.send,
            redis_url=settings.redis_url,
            holder=self._holder,
            worker=worker(os.getppid()),
            bench_of=lambda owner: self._bench(owner, Stages(), secrets.randbits(32)),
            meanwhile=Beside(
                self.store,
                settings.kinds,
                claim=lambda kind: self._holds.first_of(self.store.turns.next(kind)),
                work=self._run,
            ),
        )
        self._began = 0.0
        self.heartbeat = Heartbeat(
            self.store.workers,
            self._holder,
            facts=self._facts(),
            every_s=settings.live_s / 4,
            beside=self._holds.free_the_dead,
        )

    def _facts(self) -> dict[str, str | float]:
        facts: dict[str, str | float] = {"batch_size": self._settings.batch_size}
        facts |= {"queues": ",".join(self._settings.queue_names), "weights": self.models.digest}
        if self._credentials is not None:
            facts["certificate_end_timestamp_seconds"] = self._credentials.valid_until.timestamp()
        return facts

    def run(self, kind: JobKind, token: str) -> None:
        """Work on the job of a kind whose turn it is, if one waits. `token` is the id of the message that says so."""
        self._began = time.monotonic()
        claim = self._holds.first_of(self.store.turns.candidates(kind, token), token)
        if claim is None:
            log.info("nothing waits", kind=kind.value)
            return
        self._run(claim, contextlib.nullcontext())

    def host(self, session_id: str) -> None:
        """Hold the live session that a message calls for."""
        self._began = time.monotonic()
        self._live.run(session_id)

    def _run(self, claim: Claim, aside: AbstractContextManager[None]) -> None:
        """Work on what is claimed, while something else is set `aside`. Where that raises, nothing is done of it, and
        the next heartbeat frees it."""
        ids = {"job_id": claim.job_id, "request_id": claim.request_id, "part": claim.part or None}
        try:
            stages = Stages()
            with aside, spans.traced(claim, stages), structlog.contextvars.bound_contextvars(**ids):
                self._work(claim, stages)
        finally:
            self._holds.forget(claim)

    def _work(self, claim: Claim, stages: Stages) -> None:
        log.info("job begins", kind=claim.spec.kind.value, attempt=claim.attempt)
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

    def _pause(self, plan: Claim) -> None:
        """Between steps of a plan: do what somebody waits for, which would else wait until the plan has ended.

        These are images and motions, and segments of videos where all workers have enough to do.
        """
        urgent = [kind for kind in self._settings.kinds if kind is not JobKind.VIDEO]
        with contextlib.suppress(RedisError):  # the plan outlasts a short absence
            for kind in urgent:
                while self._may_set_aside() and (claim := self._holds.first_of(self.store.turns.next(kind))):
                    self._run(claim, self._claims.set_aside(plan))
            if self._may_set_aside() and (claim := self._segment_nobody_takes(plan)):
                self._run(claim, self._claims.set_aside(plan))

    def _may_set_aside(self) -> bool:
        return time.monotonic() < self._began + ASIDE_S

    def _segment_nobody_takes(self, plan: Claim) -> Claim | None:
        waiting = self.store.turns.parts_waiting()
        if waiting and waiting >= self.store.workers.count():
            return self._holds.first_of(self.store.turns.going())
        if self._settings.workers_per_job is not None and self.store.segments.waiting(plan.job_id):
            # others may not be let at it while this one plans
            return self._holds.first_of([Turn(plan.job_id)])
        return None

    def _end(self, claim: Claim, stages: Stages) -> None:
        """Work on the job and tell the store how it ended."""
        outcome = self._outcome(claim, stages)
        spans.tell_outcome(claim, outcome, self.models)
        # from here on the exception and all it held, which may have been the memory that lacked, is gone
        if outcome is Unfinished.CANCELED:
            self._insist(self._claims.cancel, claim)
            self._tidy(claim.job_id)
            log.info("job canceled")
            return
        if outcome is Unfinished.LET_GO:
            self._insist(self._let_go, claim)
            return
        self._insist(self._claims.timings, claim, stages.seconds)
        match outcome:
            case Problem():
                self._insist(self._claims.fail, claim, outcome)
                self._tidy(claim.job_id)
            case Planned():
                self._videos.planned(claim, outcome)
                log.info("video planned", frames=outcome.frames)
            case Fragment():
                self._videos.done(claim, outcome)
                log.info("segment rendered", seconds=round(sum(stages.seconds.values()), 3))
            case Stored():
                self._insist(
                    self._claims.succeed,
                    claim,
                    outcome.result,
                    key=outcome.key,
                    made=outcome.made,
                    fragment=outcome.fragment,
                )
                if claim.cut:
                    self._tidy(claim.job_id)
                log.info("job succeeded", seconds=round(sum(stages.seconds.values()), 3))

    def _outcome(self, claim: Claim, stages: Stages) -> Stored | Planned | Fragment | Problem | Unfinished:
        try:
            return self._done(claim, stages)
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
            try:
                self._insist(self._claims.renew, claim)  # raises ClaimLostError: then it is nobody's error
            except JobCanceledError:
                return Unfinished.CANCELED
            problem = problem_of(error)
            if is_expected(error):
                log.info("job failed", problem=problem.type, detail=problem.detail)
            else:
                tracing.note_error(error)
                log.exception("job failed unexpectedly")
            return problem

    def _let_go(self, claim: Claim) -> None:
        try:
            self._claims.renew(claim)
            self._claims.give_back(claim)
            log.info("job given back")
        except JobCanceledError:
            self._claims.cancel(claim)

    def _done(self, claim: Claim, stages: Stages) -> Stored | Planned | Fragment:
        if not claim.cut:  # there is nothing but what it is made from, and what attempts left that died
            inputs = [file.key for file in input_files(claim.spec).values()]
            self._insist(self._artifacts.clear, claim.job_id, inputs)
        seed = drawn_seed(claim.job_id)
        bench = self._bench(claim.owner, stages, seed)
        with contextlib.ExitStack() as stack:

            def fetch(key: str) -> Path:
                return self._insist(lambda: stack.enter_context(self._artifacts.reading(key)))

            files = Inputs(fetch, bench)
            if not isinstance(claim.spec, VideoSpec):
                return self._made(claim, bench, files)
            work = Work(claim, claim.spec, bench, files, fetch)
            if claim.segment is not None:
                return self._videos.segment(work)
            if claim.joins:
                return self._videos.join(work)
            return self._videos.plan(work, lambda: self._pause(claim))

    def _bench(self, owner: str, stages: Stages, seed: int) -> Workbench:
        return Workbench(
            self.models, self._settings, stages, self._portraits, self._credentials, owner=owner, seed=seed
        )

    def _made(self, claim: Claim, bench: Workbench, inputs: Inputs) -> Stored:
        maker = self._makers[claim.spec.kind]
        with self._artifacts.draft(claim.job_id, maker.output_name(claim.spec)) as draft:
            made = maker.make(bench, claim.spec, inputs, draft.path)
            self._insist(self._claims.renew, claim)  # raises where another copy has the job: its result stays
            artifact = self._insist(draft.commit)
        result = Result(bytes=artifact.bytes, sha256=artifact.sha256, **made.told())
        return Stored(result, artifact.key, maker.counted(made))

    def _tidy(self, job_id: str) -> None:
        """Remove all files that lie with a job that has ended and are none of its own.

        Of a video that was cut the front-end does it once more.
        """
        with contextlib.suppress(RedisError, ArtifactsAwayError):
            files = self.store.files(job_id)
            if files is not None:
                self._artifacts.clear(job_id, files)
