"""An empty job store, an artifact folder and a live server for each test."""

import asyncio
import io
import json
import logging
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import redis
import structlog
from PIL import Image

from jobs.files.folder import FolderArtifacts
from jobs.formats import IMAGE_FORMATS
from jobs.schemas import ImageSpec, JobSpec, Result
from jobs.store.jobs import JobStore
from jobs.store.names import MESSAGES
from jobs.store.records import Claim
from service.app import create_app
from service.context import Context
from service.running.server import FrontEnd
from service.settings import Settings
from tests.support.processes import NO_TLS, PATIENCE_S

DIMENSION = 6
FIRST, SECOND = "first-" * 6, "second-" * 5  # API keys of two owners
BOTH = f"{FIRST},{SECOND}"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Servers run in this process: their lines would stand among what commands under test print."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def control(name: str, minimum: float, maximum: float, unit: str = "") -> dict[str, Any]:
    return {"name": name, "group": "pose", "minimum": minimum, "maximum": maximum, "neutral": 0.0, "unit": unit,
            "description": name}  # fmt: skip


def write_weights(folder: Path, dimension: int = DIMENSION) -> Path:
    """Cards of five small models; the front-end reads the cards alone."""
    folder.mkdir()
    common = {"motion_space": "open478", "dimension": dimension, "version": "1", "licence": "Apache-2.0"}
    controls = [control("yaw", -45, 45, "degrees"), control("jaw_open", 0, 1)]
    kinds = {"space": "morphable", "finder": "extractor", "skin": "skinning", "light": "renderer", "speech": "audio"}
    for name, kind in kinds.items():
        card = {"name": name, "kind": kind, **common, **({"controls": controls} if kind == "morphable" else {})}
        (folder / f"{name}.json").write_text(json.dumps(card))
        (folder / f"{name}.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def weights_dir(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "weights")


Answer = TypeVar("Answer")


@dataclass
class Server:
    """A running API, and the worker's part of the contract for tests to play."""

    client: httpx.Client
    context: Context
    front_end: FrontEnd

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    @property
    def artifacts(self) -> FolderArtifacts:
        artifacts = self.context.artifacts
        assert isinstance(artifacts, FolderArtifacts)
        return artifacts

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """What comes of a coroutine in the server's event loop."""
        loop = self.front_end.servers[0].get_loop()
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE_S)

    def claim(self, job_id: str) -> Claim:
        claim = self.context.store.claims.claim(job_id, holder="test:1")
        assert isinstance(claim, Claim)
        return claim

    def spec(self, job_id: str) -> JobSpec | None:
        record = self.context.store.get(job_id)
        return None if record is None else record.spec

    def succeed(self, job_id: str, data: bytes = b"\x89PNG result") -> None:
        claim = self.claim(job_id)
        spec = self.spec(job_id)
        made = spec.options.result_format if isinstance(spec, ImageSpec) else IMAGE_FORMATS["png"]
        stored = self.context.artifacts.put(job_id, f"result.{made.suffix}", [data])
        result = Result(media_type=made.media_type, bytes=stored.bytes, sha256=stored.sha256, width=256, height=256)
        self.context.store.claims.succeed(claim, result, key=stored.key, made={"images": 1})

    def queued_messages(self, queue: str) -> list[str]:
        """The job ids of the messages in a queue."""
        with redis.Redis.from_url(self.context.settings.redis_url, decode_responses=True) as client:
            messages = [json.loads(text) for text in client.lrange(MESSAGES + queue, 0, -1)]
        return [message["headers"]["id"].partition("-")[0] for message in messages][::-1]


@contextmanager
def running(settings: Settings) -> Iterator[Server]:
    app = create_app(settings)
    server = FrontEnd(app, settings.model_copy(update={"port": 0}), log_level="warning")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, verify=NO_TLS) as client:
            yield Server(client, app.state.context, server)
    finally:
        server.should_exit = True
        thread.join(10)  # one that waits for a connection which a test left open ends with this process


Start = Callable[..., Server]


@pytest.fixture
def start(store: JobStore, redis_url: str, tmp_path: Path, weights_dir: Path) -> Iterator[Start]:
    """Start servers with settings of the test's choice, in a database where no other server does their housekeeping."""
    with ExitStack() as stack:

        def start_server(**settings: Any) -> Server:
            chosen: dict[str, Any] = {
                "redis_url": f"{redis_url.removesuffix('/0')}/2",
                "data_dir": tmp_path / "data",
                "weights_dir": weights_dir,
                "housekeeping_s": 0.1,
                **settings,
            }
            return stack.enter_context(running(Settings(**chosen)))

        yield start_server


@pytest.fixture(scope="session")
def shared_server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    weights = write_weights(folder / "weights")
    with running(Settings(redis_url=redis_url, data_dir=folder / "data", weights_dir=weights)) as server:
        yield server


@pytest.fixture
def server(store: JobStore, shared_server: Server) -> Iterator[Server]:
    """A server with the usual settings and no jobs; `start` makes others."""
    yield shared_server
    shutil.rmtree(shared_server.artifacts.root, ignore_errors=True)  # its housekeeping may remove some meanwhile
    shared_server.artifacts.root.mkdir(exist_ok=True)


def photo(width: int = 64, height: int = 48, form: str = "JPEG") -> bytes:
    """An image file; whether it shows a face is the worker's concern."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def portrait() -> bytes:
    return photo()
