"""A reverse proxy that serves a server under a path, as nginx with `location /PATH/` does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def under_path(url: str, path: str, *, strips: bool = True) -> Iterator[str]:
    """Serve what is at `url` under `path`, which the proxy `strips` or leaves on; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
            asked = self.path.removeprefix(path) if strips else self.path
            answer = client.request(self.command, asked, content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("connection", "transfer-encoding", "content-length", "content-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.headers.get("content-length", str(len(answer.content))))
            self.end_headers()
            self.wfile.write(answer.content)

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
