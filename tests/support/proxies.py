"""A reverse proxy that serves a server under a path, as nginx with `location /PATH/` does."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx


def copy(source: socket.socket, target: socket.socket) -> None:
    """Bytes from one connection to another until it ends, and the end as well."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def under_path(url: str, path: str, *, strips: bool = True) -> Iterator[str]:
    """Serve what is at `url` under `path`, which the proxy `strips` or leaves on; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            asked = self.path.removeprefix(path) if strips else self.path
            if self.headers.get("upgrade"):
                self.relay(asked)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
            answer = client.request(self.command, asked, content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("connection", "transfer-encoding", "content-length", "content-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.headers.get("content-length", str(len(answer.content))))
            self.end_headers()
            self.wfile.write(answer.content)

        def relay(self, asked: str) -> None:
            """Pass on what is no HTTP any more, both ways, until either side ends."""
            self.close_connection = True
            lines = [f"{self.command} {asked} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
            server = urlsplit(url)
            with socket.create_connection((str(server.hostname), server.port or 80)) as upstream:
                upstream.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                back = threading.Thread(target=copy, args=(upstream, self.connection))
                back.start()
                copy(self.connection, upstream)
                back.join()

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.pass_on
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{path}"
        finally:
            proxy.shutdown()
            thread.join()
            proxy.server_close()
