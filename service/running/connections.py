"""Connections to the front-end: none may be held by a client that sends or takes its bytes too slowly.

Uvicorn bounds how long a connection may idle between requests. Here is what it leaves open: how many connections there
may be, how long a request's headers and its body may take, how large headers may be, and how long an answer may wait to
be taken.
"""

import asyncio
import resource
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jobs.errors import UnusableError
from jobs.problems import Problem, ProblemType
from service.running.websockets import MAX_MESSAGE_BYTES, SILENT_S, BoundedWebSocket
from service.settings import Settings
from service.siblings import Tally

log = structlog.get_logger(__name__)

MAX_HEADER_BYTES = 64 * 1024  # of a request's line and headers together; of a body's trailers too
BODY_GRACE_S = 5.0  # forms have their own bound, which answers with a problem; this is for what nobody reads
BACKLOG = 256  # connections that wait to be taken
LEAST_BACKLOG = 8  # where few files may be opened
LOTS = 4  # of connections taken in one go that are open before the first refused one is closed
FILES_EACH = 3  # what a connection may have open: itself, an upload or a result, a stream of events from Redis
WEBSOCKET_PATH = b"/v1/live"  # elsewhere nothing is upgraded
FILES_BESIDE = 100  # libraries, logs, connections to Redis
LEAST_FILES = FILES_EACH + LOTS * LEAST_BACKLOG + FILES_BESIDE  # with fewer a front-end takes no connection
GRACE_S = 30  # requests that are not finished so long after the server was told to stop are cut


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds."""

    settings: Settings
    most: int  # connections, of all processes of the front-end together
    open: Tally
    leaving: bool = False  # the server stops: each connection gets one more answer

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._pending = 0  # bytes since the last that were part of a body
        self._sending: asyncio.TimerHandle | None = None  # until when the client has to have sent
        self._taking: asyncio.TimerHandle | None = None  # until when it has to have taken

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Headers are due from now on."""
        super().connection_made(transport)
        self._expect(self.settings.header_timeout_s)
        self.open.here = len(self.connections)
        if self.open.total > self.most:
            self._refuse()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came. The first bytes after a whole request are those of the next."""
        if self._sending is None:
            self._expect(self.settings.header_timeout_s)
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Headers are longer than the {MAX_HEADER_BYTES} bytes allowed.")

    def on_headers_complete(self) -> None:
        """The body is due."""
        self._pending = 0
        self._expect(self.settings.upload_timeout_s + BODY_GRACE_S)
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Part of a body came."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: now the answer takes as long as it takes."""
        self._pending = 0
        self._cancel()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection is a WebSocket's from now on, which has bounds of its own."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.send_400_response("A request is still being answered on this connection.")
            return
        super().handle_websocket_upgrade()
        self._cancel()
        self.resume_writing()
        websocket = self.transport.get_protocol()
        if self.leaving and isinstance(websocket, BoundedWebSocket):
            websocket.shutdown()

    def shutdown(self) -> None:
        """The server stops: what is under way is finished. Who idles is not cut off: a request may be on its way."""
        if self.cycle is None:
            self._expect(self.timeout_keep_alive)
        elif not self.cycle.response_complete:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client is to take what waits for it."""
        super().pause_writing()
        self._taking = self.loop.call_later(self.settings.stall_timeout_s, self._cut)

    def resume_writing(self) -> None:
        """The client has taken enough."""
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with a problem, as everything else is."""
        self._close_with(b"400 Bad Request", Problem.of(ProblemType.BAD_REQUEST, msg))

    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is asked for where there is one; elsewhere the request is answered as any other."""
        path = self.url.partition(b"?")[0].removeprefix(self.settings.root_path.encode())
        return super()._should_upgrade() and self.parser.get_method() == b"GET" and path == WEBSOCKET_PATH

    def _refuse(self) -> None:
        problem = Problem.of(ProblemType.UNAVAILABLE, f"{self.most} connections are open, which is all there may be")
        self._close_with(b"503 Service Unavailable", problem, b"retry-after: %d\r\n" % self.settings.retry_after_s)

    def _close_with(self, status: bytes, problem: Problem, headers: bytes = b"") -> None:
        body = problem.under(self.settings.base).model_dump_json().encode()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/problem+json\r\nconnection: close\r\n%b"
            b"content-length: %d\r\n\r\n%b" % (status, headers, len(body), body)
        )
        self.transport.close()

    def _expect(self, seconds: float) -> None:
        self._cancel()
        self._sending = self.loop.call_later(seconds, self._cut)

    def _cancel(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _cut(self) -> None:
        log.info("a slow client is cut off", client=self.client and self.client[0])
        self.transport.abort()


def files_needed(settings: Settings) -> int:
    """How many files a process may have open that takes as many connections as set."""
    return FILES_EACH * settings.max_connections + LOTS * BACKLOG + FILES_BESIDE


def connection_bounds(settings: Settings) -> tuple[int, int]:
    """How many connections there may be, and how many are taken in one go (the backlog).

    As many as set, or as this process may open files for: a server without files left can neither take connections nor
    read, store or ask Redis for anything. So the limit of open files is raised, as far as may be, to what is needed.
    Raises UnusableError: it suffices for no connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(settings)
    if soft < needed:
        soft = min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < LEAST_FILES:
        raise UnusableError(
            f"this process may open {soft} files (`ulimit -Hn`), and needs {LEAST_FILES} for one connection, "
            f"{needed} for PIRENDERER_MAX_CONNECTIONS={settings.max_connections}"
        )
    backlog = max(LEAST_BACKLOG, min(BACKLOG, soft // 16))
    most = min(settings.max_connections, (soft - LOTS * backlog - FILES_BESIDE) // FILES_EACH)
    if most < settings.max_connections:
        log.warning(
            "fewer connections are taken than set: more files may not be opened (`ulimit -Hn`)",
            connections=most, max_connections=settings.max_connections, open_files=soft, needed=needed,
        )  # fmt: skip
    return most, backlog


def server_options(settings: Settings, connections: Tally) -> dict[str, Any]:
    """What uvicorn is told. Connections are counted in `connections`."""
    most, backlog = connection_bounds(settings)
    return {
        "host": settings.host,
        "port": settings.port,
        "http": type("Protocol", (BoundedProtocol,), {"settings": settings, "most": most, "open": connections}),
        "backlog": backlog,
        "ws": BoundedWebSocket,
        "ws_max_size": MAX_MESSAGE_BYTES,
        "ws_ping_interval": SILENT_S,
        "ws_ping_timeout": SILENT_S,
        "ws_per_message_deflate": False,  # pictures are small already
        "log_config": None,
        "access_log": False,  # ours has ids
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "server_header": False,
        "timeout_graceful_shutdown": GRACE_S,
    }
