"""A real worker process on a real Redis, and the means to give it jobs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
import redis
import structlog

from jobs.files.folder import FolderArtifacts
from jobs.files.keys import new_id
from jobs.messages import job_message
from jobs.motions import Keyframe, KeyframesMotion
from jobs.schemas import InputFile, JobKind, JobSpec, JobStatus, VideoOptions, VideoSpec
from jobs.store.creation import Terms
from jobs.store.jobs import JobStore
from jobs.store.records import JobRecord
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, until
from tests.support.tiny_weights import tiny_settings
from worker.models import Models
from worker.settings import WorkerSettings

SAMPLES = ROOT / "service" / "samples"
WEIGHTS = ROOT / "model" / "weights"

START_WORKER = """
from worker.queue.app import run_worker
from jobs.logs import configure_logging
from worker.settings import WorkerSettings

settings = WorkerSettings()
configure_logging(settings.log_level)
raise SystemExit(run_worker(settings))
"""


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Commands that run in the tests' own process configure logging; the next test starts as before."""
    configuration = structlog.get_config()
    yield
    structlog.configure(**configuration)


@pytest.fixture(scope="session")
def portrait() -> Path:
    return SAMPLES / "portrait.jpg"


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """Another person than the portrait's."""
    return ROOT / "tests" / "samples" / "astronaut.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    return SAMPLES / "speech.flac"


@pytest.fixture(scope="session")
def weights() -> None:
    """Skips what needs trained weights where they are not installed."""
    _need("open478", "extractor", "renderer-guided-light")


@pytest.fixture(scope="session")
def speech_weights() -> None:
    """The same for what makes motion from speech."""
    _need("audio-flow")


@pytest.fixture(scope="session")
def models(weights: None, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The released ones, loaded as they are needed, as in a worker."""
    return Models.of(WorkerSettings(data_dir=tmp_path_factory.mktemp("models")))


def _need(*names: str) -> None:
    for name in names:
        if not (WEIGHTS / f"{name}.safetensors").is_file():
            pytest.skip(f"no weights {name!r} in {WEIGHTS}")


class WorkerProcess:
    """`pirenderer worker` as its own process."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START_WORKER], env=environment, cwd=ROOT, stdout=output, stderr=output
            )

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"a worker that was told to stop does not end: {self.log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """As an operator's or the kernel's kill -9; the children follow by themselves."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


@dataclass(frozen=True)
class Bench:
    """What the front-end does: stores inputs, makes jobs, sends their messages, and looks."""

    store: JobStore
    artifacts: FolderArtifacts
    environment: dict[str, str]
    folder: Path

    def start_worker(self, **environment: str) -> WorkerProcess:
        return WorkerProcess({**self.environment, **environment}, self.folder / "worker.log")

    def wait_for_workers(self, count: int) -> None:
        """Until so many are ready."""
        until(lambda: sum(facts["state"] == "ready" for facts in self.store.workers.live().values()) >= count, self.log)

    def put(self, job_id: str, name: str, source: Path | bytes, media_type: str) -> InputFile:
        data = source if isinstance(source, bytes) else source.read_bytes()
        artifact = self.artifacts.put(job_id, name, [data])
        return InputFile(key=artifact.key, media_type=media_type, bytes=artifact.bytes, sha256=artifact.sha256)

    def submit(
        self,
        make_spec: Callable[[str], JobSpec],
        *,
        owner: str = "tests",
        request_id: str | None = None,
    ) -> str:
        """Make a job of the specification that `make_spec(job_id)` builds, and queue it."""
        job_id = new_id()
        self.artifacts.create_folder(job_id)
        spec = make_spec(job_id)
        self.store.create(job_id, spec, owner=owner, terms=Terms(request_id=request_id))
        self.store.send(job_message(job_id, JobKind(spec.kind)))
        return job_id

    def job(self, job_id: str) -> JobRecord:
        record = self.store.get(job_id)
        assert record is not None
        return record

    def log(self) -> str:
        """The last that the workers told."""
        return (self.folder / "worker.log").read_text(errors="replace")[-4000:]

    def wait(self, job_id: str, condition: Callable[[JobRecord], bool]) -> JobRecord:
        """The job when it is so."""
        record = self.job(job_id)

        def so() -> bool:
            nonlocal record
            record = self.job(job_id)
            return condition(record)

        until(so, lambda: f"job is {record.status} at {record.progress}; worker log:\n{self.log()}", within_s=240)
        return record

    def submit_sway(self, portrait: Path, seconds: float) -> str:
        """A video job in which the head turns to one side and to the other, in `25 * seconds + 1` frames."""
        turns = ((0.0, 0), (seconds / 2, 15), (seconds, -15))
        motion = KeyframesMotion(keyframes=[Keyframe(t=t, controls={"yaw": yaw}) for t, yaw in turns])
        return self.submit(
            lambda job: VideoSpec(
                portrait=self.put(job, "portrait.jpg", portrait, "image/jpeg"),
                motion=motion,
                options=VideoOptions(paste_back=False),
            )
        )

    def finished(self, job_id: str) -> JobRecord:
        return self.wait(job_id, lambda record: record.status.finished)

    def succeeded(self, job_id: str) -> JobRecord:
        """The job when it has succeeded; what it ended with otherwise is the test's failure."""
        record = self.finished(job_id)
        assert record.status is JobStatus.SUCCEEDED, f"{record.error}; worker log:\n{self.log()}"
        return record

    def rendering(self, job_id: str) -> JobRecord:
        """The job when its first frames are rendered."""
        return self.wait(
            job_id,
            lambda record: (
                record.status.finished
                or (record.progress is not None and record.progress.stage == "render" and record.progress.done > 0)
            ),
        )

    def child(self, job_id: str) -> int | None:
        """The process that works on a job."""
        lock = self.store.claims.lock(job_id)
        return None if lock is None else int(lock.partition("|")[0].rpartition(":")[2])

    def result(self, record: JobRecord) -> Path:
        assert record.result_key is not None, record.error
        return self.artifacts.path(record.result_key)

    def files(self, job_id: str) -> set[str]:
        return {path.name for path in self.artifacts.path(f"{job_id}/x").parent.iterdir()}


def frames_in(path: Path) -> int:
    """Decode every frame of a video; returns how many there are."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture(scope="module")
def bench(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench in an empty database, where no server does housekeeping: jobs that other modules left are not its own."""
    folder = tmp_path_factory.mktemp("data")
    redis_url = f"{redis_url.removesuffix('/0')}/4"
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    environment = {**os.environ, "PIRENDERER_REDIS_URL": redis_url, "PIRENDERER_DATA_DIR": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    store = JobStore.connect(redis_url)
    yield Bench(store, FolderArtifacts(folder / "artifacts"), environment, folder)
    store.close()


@pytest.fixture(scope="session")
def tiny(weights: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a worker whose pictures nobody looks at."""
    return tiny_settings(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def worker_process(weights: None, bench: Bench) -> Iterator[WorkerProcess]:
    process = bench.start_worker()
    yield process
    process.stop()
