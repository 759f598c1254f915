"""`pirenderer api`: the HTTP front-end alone."""

import gc
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import FastAPI

from jobs.errors import UnusableError
from jobs.files.private import keep_private
from jobs.logs import configure_logging
from jobs.redis_checks import check_redis
from jobs.settings import read_settings
from jobs.tracing import check_tracing
from service.app import create_app
from service.running.frontend import CannotListenError, ListeningSocket, listening, run_processes
from service.running.processes import give_large_blocks_back
from service.running.server import FrontEnd
from service.running.supervisor import ChildDiedError
from service.secret import ServiceSecret
from service.settings import Settings, is_loopback
from service.siblings import Siblings


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 8000).")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis shared with the workers.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the jobs' files, shared with the workers.")] = None,
    *,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that share its socket and its bounds (default: 1).")
    ] = None,
    fd: Annotated[
        int | None, typer.Option(min=3, help="Number of a listening socket that is handed over (systemd's is 3).")
    ] = None,
    shared: Annotated[
        Path | None, typer.Option(hidden=True, help="Folder that it shares with the other processes of a front-end.")
    ] = None,
) -> None:
    """Run the HTTP front-end alone, against a given Redis. Everything else is set by PIRENDERER_ variables.

    Several processes are stopped together, and renewed by SIGUSR2.
    """
    options = {"host": host, "port": port, "redis_url": redis_url, "data_dir": data_dir, "api_processes": processes}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    settings = read_settings(Settings, **given)
    configure_logging(settings.log_level)
    check_tracing()
    handed = None if fd is None else listener(fd)
    if handed is not None:
        settings = as_bound(settings, handed)
    if settings.api_processes > 1 and shared is None:
        given.pop("api_processes", None)
        _run_several(settings, handed, [f"--{name.replace('_', '-')}={value}" for name, value in given.items()])
        return
    app = _prepared(settings, shared)
    # Modules and routes live as long as the process, and streams of events for minutes. Searching them for garbage
    # holds answers up and finds little: of a request all but an object or two goes by itself.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 100)
    give_large_blocks_back()
    one_by_one = {} if shared is None else {"backlog": 1}  # who is idle takes the next connection, and not them all
    FrontEnd(app, settings, **one_by_one).run(sockets=None if handed is None else [handed])


def _prepared(settings: Settings, shared: Path | None) -> FastAPI:
    app = create_app(settings, Siblings(shared))
    check_redis(settings.redis_url)
    secrets = (settings.keys_path, settings.webhook_key_path)
    keep_private(settings.data_dir, settings.artifacts_dir, settings.scratch_dir, *secrets)
    # here already, where what is wrong can be said in one line
    ServiceSecret(settings.webhook_key_path).check()
    app.state.context.artifacts.prepare()
    return app


def _run_several(settings: Settings, handed: ListeningSocket | None, options: list[str]) -> None:
    try:
        with listening(settings) if handed is None else handed as own:
            run_processes(settings, own, options)
    except (CannotListenError, ChildDiedError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.code if isinstance(error, ChildDiedError) else 1) from error


def as_bound(settings: Settings, handed: socket.socket) -> Settings:
    """The settings with the host that a socket which was handed over listens on, if they take it for this machine's."""
    bound = "127.0.0.1" if handed.family == socket.AF_UNIX else str(handed.getsockname()[0])
    if not is_loopback(settings.host) or is_loopback(bound):
        return settings
    return settings.model_copy(update={"host": bound})


def listener(fd: int) -> ListeningSocket:
    """The listening socket with the number `fd`. Raises UnusableError where there is none."""
    try:
        handed = ListeningSocket(fileno=fd)
        if handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return handed
        reason = "it does not listen"
    except OSError as error:
        reason = error.strerror or str(error)
    raise UnusableError(f"--fd {fd} is not a listening socket: {reason}")
