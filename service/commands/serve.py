"""`pirenderer serve`: Redis, workers and the API on one machine."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import httpx
import structlog
import typer

from jobs.credentials import ContentCredentials
from jobs.files.opening import make_artifacts
from jobs.files.private import UnusableFolderError, keep_private, open_lock
from jobs.logs import configure_logging
from jobs.redis_checks import check_redis
from jobs.settings import FILE, read_settings
from jobs.tracing import check_tracing
from service.access.control import check_exposure
from service.running.embedded import EmbeddedRedis, RedisUnavailableError, free_port
from service.running.frontend import CannotListenError, front_end_processes, listening, shared_folder, start_processes
from service.running.processes import inherited
from service.running.server import notify
from service.running.supervisor import Child, ChildDiedError, Supervisor, cli_command
from service.settings import Settings
from service.variables import unknown_variables

log = structlog.get_logger(__name__)

READY_S = 60.0
# When memory is short the kernel shall take workers first, whose jobs are tried again, then the API, and Redis last.
WORKER_OOM_SCORE_ADJ, API_OOM_SCORE_ADJ = 600, 300
API_KEYS = "PIRENDERER_API_KEYS"
SOFT_STOP = {"REMAP_SIGTERM": "SIGQUIT"}  # a worker told to stop gives its job back instead of finishing it


class CannotServeError(Exception):
    """Why the service cannot be started just now, in words for the person who tried."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one (default: 8000).")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; one per GPU is right.")] = 1,
    api_processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes of the API, which share its bounds (default: 1).")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where jobs and their files are kept (default: data).")] = None,
) -> None:
    """Serve on this machine: Redis, workers and API, stopped together by Ctrl-C and renewed by SIGUSR2.

    With PIRENDERER_REDIS_URL (or REDIS_URL) set, that Redis is used and none is started.
    """
    settings = chosen_settings(host, port, data_dir, api_processes)
    configure_logging(settings.log_level)
    check_tracing()
    try:
        with serving(settings, workers=workers) as (supervisor, url):
            typer.echo(f"PIRenderer serves at {url} (Ctrl-C stops it)", err=True)
            supervisor.watch()
            typer.echo("stopping", err=True)
    except CannotServeError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def chosen_settings(
    host: str | None, port: int | None, data_dir: Path | None, api_processes: int | None = None
) -> Settings:
    """The environment's settings with what the command line chose; port 0 becomes a free port.

    Raises InvalidSettingsError.
    """
    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir, "api_processes": api_processes}
    settings = read_settings(Settings, **{name: value for name, value in given.items() if value is not None})
    return settings.model_copy(update={"port": free_port()}) if settings.port == 0 else settings


@contextlib.contextmanager
def serving(
    settings: Settings,
    *,
    workers: int,
    own_redis: bool = False,
    output: IO[bytes] | None = None,
    patience: int | None = None,
) -> Iterator[tuple[Supervisor, str]]:
    """Everything started and answering; stopped when the block ends.

    A Redis is started where none is set, and with `own_redis` always. What dies is started again; `patience` is how
    often, one soon after the other, and unset for ever. Raises UnusableError, CannotServeError, ChildDiedError.
    """
    ours = own_redis or "redis_url" not in settings.model_fields_set
    check_exposure(settings)
    if not ours:
        check_redis(settings.redis_url)
    make_artifacts(settings)  # all would be started in vain, and the workers again and again
    ContentCredentials.of(settings)  # the same for the workers alone
    keep_private(settings.data_dir)  # API and workers see to the rest
    supervisor = Supervisor(output=output, patience=patience)
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(listening(settings))
        except CannotListenError as error:
            raise CannotServeError(str(error)) from error
        shared = stack.enter_context(shared_folder(settings.api_processes))
        stack.enter_context(_alone_in(settings.data_dir))
        stack.enter_context(supervisor.signals())
        server = stack.enter_context(contextlib.closing(_embedded_redis(settings))) if ours else None
        stack.callback(supervisor.stop)
        if server is not None:
            _start_redis(supervisor, server)
        told = {
            "PIRENDERER_DATA_DIR": str(settings.data_dir.resolve()),
            "PIRENDERER_HOST": settings.host,
            "PIRENDERER_PORT": str(settings.port),
            "PIRENDERER_KEYS_DIR": str(settings.keys_dir.resolve()) if settings.keys_dir else "",
            "PIRENDERER_REDIS_URL": server.url if server else settings.redis_url,
        }
        replaced = (*told, API_KEYS, "NOTIFY_SOCKET")
        left_out = (*replaced, *(name + FILE for name in replaced), *unknown_variables())
        environment = {**inherited(but=left_out), **told}
        for number in range(1, workers + 1):
            work = {**environment, **SOFT_STOP}
            supervisor.start(Child(f"worker {number}", cli_command("worker"), work, oom_score_adj=WORKER_OOM_SCORE_ADJ))
        api = front_end_processes(
            listener,
            count=settings.api_processes,
            shared=shared,
            environment={**environment, API_KEYS: ",".join(key.get_secret_value() for key in settings.api_keys)},
            oom_score_adj=API_OOM_SCORE_ADJ,
        )
        try:
            start_processes(supervisor, api)
        except ChildDiedError as error:  # it would not begin the next time either
            raise CannotServeError(str(error)) from error
        url = settings.local_url
        _wait_until_ready(supervisor, url)
        notify(b"READY=1")
        yield supervisor, url
        notify(b"STOPPING=1")


def _embedded_redis(settings: Settings) -> EmbeddedRedis:
    try:
        return EmbeddedRedis(settings.data_dir / "redis", max_bytes=settings.redis_max_bytes)
    except RedisUnavailableError as error:
        raise CannotServeError(str(error)) from error


def _start_redis(supervisor: Supervisor, server: EmbeddedRedis) -> None:
    redis = Child("Redis", server.command, inherited(but=("PIRENDERER_", "AWS_", "OTEL_")), renewed=False)
    supervisor.start(redis)
    try:
        server.wait_until_ready(lambda: redis.alive)
    except RedisUnavailableError as error:
        raise CannotServeError(str(error)) from error


def _wait_until_ready(supervisor: Supervisor, url: str) -> None:
    deadline = time.monotonic() + READY_S
    answer = "nothing"
    with httpx.Client(timeout=2, trust_env=False) as client:
        while not supervisor.stopping:
            supervisor.check()
            with contextlib.suppress(httpx.TransportError):
                response = client.get(f"{url}/readyz")
                if response.status_code == httpx.codes.OK:
                    return
                answer = response.text
            if time.monotonic() > deadline:
                raise CannotServeError(f"the API was not ready within {READY_S:g} s; {url}/readyz answered {answer}")
            time.sleep(0.1)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two Redis servers appending to one file would ruin it."""
    try:
        descriptor = open_lock(folder / "serve.lock")
    except OSError as error:
        raise UnusableFolderError(f"PIRENDERER_DATA_DIR: {folder} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotServeError(
                f"another `pirenderer serve` uses {folder.resolve()}; choose another folder with --data-dir"
            ) from error
        yield
