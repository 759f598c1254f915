"""The parts of a video: its plan, its segments and the join, each claimed by itself and by any worker."""

import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import structlog
from redis import RedisError

from jobs.files.artifacts import Artifact, ArtifactsAwayError, ArtifactStore, Draft
from jobs.messages import job_message
from jobs.schemas import MOTION, JobKind, Result, VideoSpec
from jobs.store.held import ClaimLostError
from jobs.store.jobs import JobStore
from jobs.store.records import Claim, Followed, Found, Fragment, Shared
from worker.make.faces import read_portrait
from worker.make.plan import Head, Plan, Segment, Totals, plan_video
from worker.make.render import join_video, render_segment
from worker.make.sitter import Sitter
from worker.media.stream import write_init
from worker.queue.makers import Inputs
from worker.queue.outcomes import Planned, Stored
from worker.queue.patience import Patience
from worker.workbench import Workbench

log = structlog.get_logger(__name__)

SITTERS = 4  # portraits of videos that are kept for their next segments


class Work(NamedTuple):
    """A part of a video that is worked on."""

    claim: Claim
    spec: VideoSpec
    bench: Workbench
    inputs: Inputs
    fetch: Callable[[str], Path]


class Videos:
    """Does the parts of videos."""

    def __init__(
        self,
        store: JobStore,
        artifacts: ArtifactStore,
        insist: Patience,
        *,
        most_workers: int | None,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._insist = insist
        self._most_workers = most_workers
        self._sitters: OrderedDict[str, tuple[Head, Sitter]] = OrderedDict()

    def plan(self, work: Work, pause: Callable[[], None]) -> Planned | Stored:
        """Plan a video, and let its segments be rendered meanwhile; one of a single segment is made at once.

        `pause` is called between steps of about a second.
        """
        plan = self._begun(work)
        planned = iter(plan)
        first = next(self._segments(planned, pause))
        if first.last:
            return self._at_once(work, plan, first)
        claim, segments = work.claim, self._store.segments
        shared = self._insist(segments.shared, claim.job_id) if claim.cut else self._share(work, plan)
        opened = self._insist(segments.begin, claim, shared, frames=plan.frames, most_workers=self._most_workers)
        for segment in chain([first], self._segments(planned, pause)):
            if segment.index >= opened:  # an attempt before has opened the others
                self._open(work, segment)
            pause()
        totals = plan.totals
        assert totals is not None  # noqa: S101 - all is planned
        return Planned(totals.frames, Found(clamped=totals.clamped, frames_without_face=totals.frames_without_face))

    def _begun(self, work: Work) -> Plan:
        spec, inputs, face = work.spec, work.inputs, None
        if work.claim.cut:  # it is planned again, for the face that all segments have
            shared = self._insist(self._store.segments.shared, work.claim.job_id)
            face = Head.load(work.fetch(shared.head)).face
        return plan_video(
            work.bench,
            inputs.path(spec.portrait),
            audio=inputs.optional(spec.audio),
            motion=inputs.document(MOTION, spec.motion_file) or spec.motion,
            driving=inputs.optional(spec.driving),
            options=spec.options,
            face=face,
        )

    def segment(self, work: Work) -> Fragment:
        """Render a segment; `done` tells the store of it."""
        claim, segments = work.claim, self._store.segments
        shared = self._insist(segments.shared, claim.job_id)
        plan_key = self._insist(segments.plan_key, claim.job_id, int(claim.part))
        segment = Segment.load(work.fetch(plan_key))
        name = f"segment-{claim.part}"
        artifact = self._keep(work, name, "m4s", lambda path: self._render(work, shared, segment, path))
        return Fragment(artifact.key, artifact.bytes, len(segment.own), shared)

    def _render(self, work: Work, shared: Shared, segment: Segment, path: Path) -> None:
        head, sitter = self._sitter(work, shared)

        def report(rendered: int) -> None:
            work.bench.stages.report("render", rendered, None)

        render_segment(work.bench, sitter, segment, path, form=head.form, report=report)

    def done(self, claim: Claim, fragment: Fragment) -> None:
        """Tell the store of a fragment, and workers of what can be taken after it. Raises ClaimLostError."""
        with self._unless_lost(fragment.key):
            followed = self._insist(self._store.segments.done, claim, fragment)
        self._follow(claim, followed)

    def planned(self, claim: Claim, planned: Planned) -> None:
        """Tell the store that a plan has ended, and workers of what can be taken after it. Raises ClaimLostError."""
        told = self._store.segments.planned
        self._follow(claim, self._insist(told, claim, frames=planned.frames, found=planned.found))

    def _follow(self, claim: Claim, followed: Followed) -> None:
        if followed.mixed is not None:
            log.warning("segments of a video are by several weights", outcome=followed.mixed.value)
        self.tell(claim.job_id, followed.messages)

    def join(self, work: Work) -> Stored:
        """Make one file of all fragments."""
        claim, segments = work.claim, self._store.segments
        stream = self._insist(segments.stream, claim.job_id)
        if stream is None or not stream.complete:
            raise ClaimLostError(f"the fragments of job {claim.job_id} are gone")
        shared = self._insist(segments.shared, claim.job_id)
        found = self._insist(segments.found, claim.job_id)
        head = Head.load(work.fetch(shared.head))
        totals = Totals(sum(segment.frames for segment in stream.segments), found.clamped, found.frames_without_face)
        init, *paths = [work.fetch(key) for key in (shared.init, *(segment.key for segment in stream.segments))]
        return self._result(work, head, init, paths, totals)

    def tell(self, job_id: str, count: int = 1) -> None:
        """Send messages for parts that can be taken now."""
        try:
            for _ in range(count):
                self._store.send(job_message(job_id, JobKind.VIDEO))
        except RedisError as error:  # the front-end looks for messages that are missing
            log.warning("a message could not be sent", error=str(error))

    def _at_once(self, work: Work, plan: Plan, segment: Segment) -> Stored:
        """A video of one segment, from its plan to its end."""
        head, frames, job_id = plan.head, len(segment.own), work.claim.job_id
        assert plan.totals is not None  # noqa: S101 - all is planned

        def report(rendered: int) -> None:
            work.bench.stages.report("render", rendered, frames)

        with (
            self._artifacts.draft(job_id, _unique("init", "mp4")) as init,
            self._artifacts.draft(job_id, _unique("segment-0", "m4s")) as fragment,
        ):
            write_init(init.path, head.form)
            render_segment(work.bench, plan.sitter, segment, fragment.path, form=head.form, report=report)
            stored = self._result(work, head, init.path, [fragment.path], plan.totals)
            begins, rendered = self._commit(work, init), self._commit(work, fragment)
        shared = Shared(head="", init=begins.key, fps=str(head.form.fps), codecs=head.form.codecs)
        return stored._replace(fragment=Fragment(rendered.key, rendered.bytes, frames, shared))

    def _segments(self, planned: Iterator[Segment | None], pause: Callable[[], None]) -> Iterator[Segment]:
        for segment in planned:
            if segment is None:
                pause()
            else:
                yield segment

    def _share(self, work: Work, plan: Plan) -> Shared:
        """Store what all segments share, before the first is open."""
        form = plan.head.form
        head = self._keep(work, "head", "npz", plan.head.save)
        init = self._keep(work, "init", "mp4", lambda path: write_init(path, form))
        self._remember(head.key, plan.head, plan.sitter)
        return Shared(head=head.key, init=init.key, fps=str(form.fps), codecs=form.codecs)

    def _open(self, work: Work, segment: Segment) -> None:
        key = self._keep(work, f"plan-{segment.index}", "npz", segment.save).key
        with self._unless_lost(key):
            waits = self._insist(self._store.segments.open, work.claim, segment.index, key)
        if waits:
            self.tell(work.claim.job_id)

    def _sitter(self, work: Work, shared: Shared) -> tuple[Head, Sitter]:
        """What the segments of a video share, made once by each worker."""
        if shared.head in self._sitters:
            self._sitters.move_to_end(shared.head)
        else:
            head = Head.load(work.fetch(shared.head))
            portrait = work.inputs.path(work.spec.portrait)
            subject = read_portrait(work.bench, portrait, work.spec.options.face, face=head.face)
            self._remember(shared.head, head, Sitter(work.bench, subject, work.spec.options))
        return self._sitters[shared.head]

    def _remember(self, key: str, head: Head, sitter: Sitter) -> None:
        self._sitters[key] = head, sitter
        while len(self._sitters) > SITTERS:
            self._sitters.popitem(last=False)

    def _result(self, work: Work, head: Head, init: Path, fragments: list[Path], totals: Totals) -> Stored:
        name = f"result.{work.spec.options.result_format.suffix}"
        with self._artifacts.draft(work.claim.job_id, name) as draft:
            made = join_video(
                work.bench, head, fragments, draft.path, init=init, totals=totals, options=work.spec.options
            )
            artifact = self._commit(work, draft)
        result = Result(bytes=artifact.bytes, sha256=artifact.sha256, **made.told())
        return Stored(result, artifact.key, {"frames": totals.frames})

    def _keep(self, work: Work, name: str, suffix: str, write: Callable[[Path], object]) -> Artifact:
        """Store a file under a name of its own: who comes late replaces nothing."""
        with self._artifacts.draft(work.claim.job_id, _unique(name, suffix)) as draft:
            write(draft.path)
            return self._commit(work, draft)

    def _commit(self, work: Work, draft: Draft) -> Artifact:
        self._insist(self._store.claims.renew, work.claim)  # raises where another has it: its files stay
        return self._insist(draft.commit)

    @contextlib.contextmanager
    def _unless_lost(self, key: str) -> Iterator[None]:
        """Remove an artifact that the store will not be told of, since the claim was lost."""
        try:
            yield
        except ClaimLostError:
            with contextlib.suppress(ArtifactsAwayError):  # it goes when the files of the job are looked through
                self._artifacts.delete(key)
            raise


def _unique(name: str, suffix: str) -> str:
    return f"{name}-{secrets.token_hex(4)}.{suffix}"
