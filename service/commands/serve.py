"""`pirenderer serve`: Redis, workers and the API on one machine."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import httpx
import structlog
import typer

from service.connections import GRACE_S
from service.embedded import RedisUnavailableError, free_port, start_redis
from service.jobs.artifacts import InvalidArtifactStoreError, make_artifacts
from service.jobs.credentials import ContentCredentials, InvalidCredentialsError
from service.jobs.logs import configure_logging
from service.jobs.private import keep_private, open_lock
from service.security import InsecureSettingsError, check_exposure
from service.settings import InvalidSettingsError, Settings, read_settings
from service.supervisor import STOP_S, Child, ChildDiedError, Supervisor, cli_command

log = structlog.get_logger(__name__)

READY_S = 60.0
SOFT_STOP = {"REMAP_SIGTERM": "SIGQUIT"}  # a worker told to stop gives its job back instead of finishing it


class CannotServeError(Exception):
    """Why the service cannot be started, in words for the person who tried."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one (default: 8000).")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; one per GPU is right.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Where jobs and their files are kept (default: data).")] = None,
) -> None:
    """Serve on this machine: Redis, workers and API, stopped together by Ctrl-C and renewed by SIGUSR2.

    With PIRENDERER_REDIS_URL (or REDIS_URL) set, that Redis is used and none is started.
    """
    configure_logging()
    try:
        with serving(chosen_settings(host, port, data_dir), workers=workers) as (supervisor, url):
            typer.echo(f"PIRenderer serves at {url} (Ctrl-C stops it)", err=True)
            supervisor.watch()
            typer.echo("stopping", err=True)
    except (InvalidSettingsError, CannotServeError, ChildDiedError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def chosen_settings(host: str | None, port: int | None, data_dir: Path | None) -> Settings:
    """The environment's settings with what the command line chose; port 0 becomes a free port.

    Raises InvalidSettingsError.
    """
    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir}
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    return settings.model_copy(update={"port": free_port()}) if settings.port == 0 else settings


@contextlib.contextmanager
def serving(
    settings: Settings, *, workers: int, own_redis: bool = False, output: IO[bytes] | None = None
) -> Iterator[tuple[Supervisor, str]]:
    """Everything started and answering; stopped when the block ends. Raises CannotServeError, ChildDiedError.

    A Redis is started where none is set, and with `own_redis` always.
    """
    try:
        check_exposure(settings)
        make_artifacts(settings)  # all would be started in vain, and the workers again and again
        ContentCredentials.of(settings)  # the same for the workers alone
    except (InsecureSettingsError, InvalidArtifactStoreError, InvalidCredentialsError) as error:
        raise CannotServeError(str(error)) from error
    redis_dir = settings.data_dir / "redis"
    keep_private(settings.data_dir, redis_dir)  # API and workers see to the rest
    with _listening(settings) as listener, _alone_in(settings.data_dir):
        environment = {
            "PIRENDERER_DATA_DIR": str(settings.data_dir.resolve()),
            "PIRENDERER_HOST": settings.host,
            "PIRENDERER_PORT": str(settings.port),
            "PIRENDERER_REDIS_URL": settings.redis_url,
            "PIRENDERER_KEYS_DIR": str(settings.keys_dir.resolve()) if settings.keys_dir else "",
            "PIRENDERER_API_KEYS": ",".join(key.get_secret_value() for key in settings.api_keys),
        }
        supervisor = Supervisor(output=output)
        with supervisor.signals():
            try:
                if own_redis or "redis_url" not in settings.model_fields_set:
                    environment["PIRENDERER_REDIS_URL"] = _start_redis(supervisor, redis_dir)
                for number in range(1, workers + 1):
                    name = f"worker {number}"
                    supervisor.start(Child(name, cli_command("worker"), {**environment, **SOFT_STOP}, restart=True))
                command = cli_command("api", "--fd", str(listener.fileno()))
                handed = (listener.fileno(),)
                supervisor.start(Child("the API", command, environment, handed=handed, overlap_s=GRACE_S + STOP_S))
                url = _local_url(settings)
                _wait_until_ready(supervisor, url)
                yield supervisor, url
            finally:
                supervisor.stop()


def _start_redis(supervisor: Supervisor, folder: Path) -> str:
    try:
        process, url = start_redis(folder)
    except RedisUnavailableError as error:
        raise CannotServeError(str(error)) from error
    supervisor.adopt("Redis", process)
    return url


def _local_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - not bound here
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _wait_until_ready(supervisor: Supervisor, url: str) -> None:
    deadline = time.monotonic() + READY_S
    while not supervisor.stopping:
        supervisor.check()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        if time.monotonic() > deadline:
            raise CannotServeError(f"the API did not answer at {url}/readyz within {READY_S:g} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket that the API listens on. It is ours: connections wait in it while one API follows another."""
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        )
    except OSError as error:
        raise CannotServeError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose another with --port"
        ) from error
    with listener:
        yield listener


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two Redis servers appending to one file would ruin it."""
    with os.fdopen(open_lock(folder / "serve.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotServeError(
                f"another `pirenderer serve` uses {folder.resolve()}; choose another folder with --data-dir"
            ) from error
        yield
