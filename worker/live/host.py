"""Takes a live session and holds it, in a worker's process, until it is to be left."""

import contextlib
import os
import time
from collections.abc import Callable

import structlog
import torch
from redis import RedisError

from jobs import tracing
from jobs.files.artifacts import ArtifactMissingError, ArtifactsAwayError, ArtifactStore
from jobs.messages import live_message
from jobs.problems import ProblemError, ProblemType
from jobs.store.live import LiveSessions
from jobs.store.live_streams import LiveEnd
from jobs.store.records import Message
from worker.live.hold import Hold
from worker.live.session import LiveSession, Meanwhile
from worker.make.faces import read_portrait
from worker.problems import BROKEN_DEVICE_EXIT_CODE, is_expected, problem_of
from worker.workbench import Workbench

log = structlog.get_logger(__name__)


class LiveHost:
    """Holds one session at a time. `holder` names this process, `worker` the one whose child it is.

    `call` sends a message, `bench_of` makes the workbench for an owner; `meanwhile` may do what waits besides, see
    `LiveSession`.
    """

    def __init__(
        self,
        sessions: LiveSessions,
        artifacts: ArtifactStore,
        *,
        call: Callable[[Message], None],
        redis_url: str,
        holder: str,
        worker: str,
        bench_of: Callable[[str], Workbench],
        meanwhile: Meanwhile,
    ) -> None:
        self._sessions = sessions
        self._artifacts = artifacts
        self._call = call
        self._redis_url = redis_url
        self._holder = holder
        self._worker = worker
        self._bench_of = bench_of
        self._meanwhile = meanwhile

    def run(self, session_id: str) -> None:
        """Hold a session, if it is there to be taken, until it ends, is another's, or its turn here is over."""
        claim = self._sessions.take(session_id, self._holder)
        if claim is None:
            log.info("the session is not to be taken", session_id=session_id)
            return
        facts: tracing.Facts = {"pirenderer.session.id": session_id, "pirenderer.attempt": claim.take}
        with (
            tracing.span("live", parent=claim.traceparent, facts=facts),
            structlog.contextvars.bound_contextvars(session_id=session_id),
        ):
            log.info("live session begins", take=claim.take)
            began = time.monotonic()
            with Hold(self._sessions, claim, self._worker) as hold:
                self._keep(hold)
            if hold.turn_over:
                with contextlib.suppress(RedisError):  # its front-end calls for a worker, too, but later
                    self._call(live_message(session_id))
            tracing.annotate({"pirenderer.pictures": hold.pictures})
            log.info("live session left", seconds=round(time.monotonic() - began, 3), pictures=hold.pictures)

    def _keep(self, hold: Hold) -> None:
        try:
            with contextlib.closing(LiveEnd(self._redis_url, hold.claim)) as end:
                try:
                    self._work(hold, end)
                except (RedisError, ArtifactsAwayError):
                    raise
                except torch.AcceleratorError:
                    # A failed assertion on the device is final for a process. It dies, and another takes the session.
                    log.exception("the accelerator is broken, leaving")
                    os._exit(BROKEN_DEVICE_EXIT_CODE)
                except Exception as error:  # the edge: whatever happens, the client is told and the worker lives
                    problem = problem_of(error)
                    if is_expected(error):
                        tracing.note_problem(problem)
                        log.info("live session fails", problem=problem.type, detail=problem.detail)
                    else:
                        tracing.note_error(error)
                        log.exception("live session fails unexpectedly")
                    end.tell_problem(problem, ends=True)
        except (RedisError, ArtifactsAwayError) as error:
            log.warning("a store is away; the session is left for another", error=str(error))

    def _work(self, hold: Hold, end: LiveEnd) -> None:
        spec = hold.claim.spec
        bench = self._bench_of(spec.owner)
        try:
            with self._artifacts.reading(spec.portrait.key) as path:
                bench.digests[path] = spec.portrait.sha256
                subject = read_portrait(bench, path, spec.options.face)
        except ArtifactMissingError as error:
            raise ProblemError(ProblemType.NOT_FOUND, "the portrait of the session was deleted") from error
        LiveSession(hold, bench, subject, spec.options, end, meanwhile=self._meanwhile).run()
