"""The processes of one front-end: they take connections from one listening socket, and are kept together."""

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from service.running.connections import BACKLOG, GRACE_S
from service.running.processes import inherited
from service.running.server import notify
from service.running.supervisor import STOP_S, Child, Supervisor, cli_command
from service.settings import Settings
from service.siblings import hold, is_held

log = structlog.get_logger(__name__)

LEAVE_S = GRACE_S + STOP_S  # for a process to finish what it has been asked
SHARED = "pirenderer-api-"  # how folders begin that processes share
LEFT_S = 60.0  # so old is a folder that nobody holds, nor is about to


class CannotListenError(Exception):
    """Why there is no socket, in words for the person who tried."""


class ListeningSocket(socket.socket):
    """One that listens already, for others too."""

    def listen(self, backlog: int = 0) -> None:
        """Leave it as it is. An event loop would make the queue as long as what it takes in one go."""


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket to listen on. It is ours: connections wait in it while one process follows another.

    Raises CannotListenError.
    """
    try:
        listener = socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose another with --port"
        ) from error
    with listener:
        yield listener


@contextlib.contextmanager
def shared_folder(processes: int) -> Iterator[Path | None]:
    """A folder for what several processes of a front-end share, for as long as the block runs."""
    if processes == 1:
        yield None
    else:
        _remove_left()
        with tempfile.TemporaryDirectory(prefix=SHARED, ignore_cleanup_errors=True) as folder:
            held = hold(Path(folder))
            try:
                yield Path(folder)
            finally:
                os.close(held)


def _remove_left() -> None:
    """Remove what front-ends of ours left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SHARED}*"):
        with contextlib.suppress(OSError):  # it is another's, or gone
            found = folder.lstat()
            if found.st_uid == os.getuid() and found.st_mtime < time.time() - LEFT_S and not is_held(folder):
                shutil.rmtree(folder, ignore_errors=True)


def front_end_processes(
    listener: socket.socket,
    *,
    count: int,
    shared: Path | None,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    oom_score_adj: int = 0,
) -> list[Child]:
    """The processes of a front-end, to be started."""
    handed = listener.fileno()
    command = cli_command("api", "--fd", str(handed), "--processes", str(count), *options)
    if shared is not None:
        command += ["--shared", str(shared)]
    return [
        Child(
            "the API" if count == 1 else f"API process {number}",
            command,
            environment,
            handed=(handed,),
            oom_score_adj=oom_score_adj,
            overlap_s=LEAVE_S,
        )
        for number in range(1, count + 1)
    ]


def start_processes(supervisor: Supervisor, children: Sequence[Child]) -> None:
    """Start them and wait until all are ready; the first by itself, so that what is wrong is said once.

    Raises ChildDiedError.
    """
    supervisor.start_ready(children[:1])
    if not supervisor.stopping:
        supervisor.start_ready(children[1:])


def run_processes(settings: Settings, listener: socket.socket, options: Sequence[str]) -> None:
    """Run as many processes as set until we are told to stop; renew them by SIGUSR2. Raises ChildDiedError."""
    count = settings.api_processes
    supervisor = Supervisor()
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(shared_folder(count))
        stack.enter_context(supervisor.signals())
        stack.callback(supervisor.stop, within_s=LEAVE_S)
        environment = inherited(but=("NOTIFY_SOCKET",))
        children = front_end_processes(listener, count=count, shared=shared, environment=environment, options=options)
        start_processes(supervisor, children)
        if not supervisor.stopping:
            log.info("the front-end is ready", address=listener.getsockname(), processes=count)
            notify(b"READY=1")
        supervisor.watch()
        notify(b"STOPPING=1")
