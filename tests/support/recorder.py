"""An HTTP server that writes down what it is sent, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What is answered: bytes, or a JSON value."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Sent:
    """A request as it came."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def form(self) -> dict[str, tuple[str | None, bytes]]:
        """The parts of a form: the name of each one's file, and its bytes."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        found: dict[str, tuple[str | None, bytes]] = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + self.body).iter_parts():
            name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found[str(name)] = (part.get_filename(), content)
        return found


class Recorder:
    """Answers requests in their order with `answers`, and the others with the last of them. What came is `sent`."""

    def __init__(self, *answers: Answer) -> None:
        self.sent: list[Sent] = []
        recorder, left = self, list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                recorder.sent.append(Sent(self.command, self.path, self.headers, b"".join(self._body())))
                answer = left.pop(0) if len(left) > 1 else left[0]
                content = answer.content if isinstance(answer.content, bytes) else json.dumps(answer.content).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def _body(self) -> Iterable[bytes]:
                if self.headers["transfer-encoding"] == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        yield self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    yield self.rfile.read(int(self.headers.get("content-length", 0)))

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Recorder":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
