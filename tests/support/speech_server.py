"""A server that speaks OpenAI's POST /v1/audio/speech as the real ones do, or misbehaves as a test wants it to."""

import contextlib
import io
import json
import struct
import threading
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RATE = 24_000
Behaviour = Callable[[BaseHTTPRequestHandler], None]


def tone(seconds: float = 0.5) -> bytes:
    """A WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(struct.pack("<h", 8000 * (-1) ** (i // 50)) for i in range(int(seconds * RATE))))
    return buffer.getvalue()


def unmeasured(sound: bytes, length: int = 0xFFFFFFFF) -> bytes:
    """The same as servers stream it: with a length that is none, since it is not known when the header is sent."""
    told = struct.pack("<I", length)
    return sound[:4] + told + sound[8:40] + told + sound[44:]


def sending(
    body: bytes, status: int = 200, kind: str = "audio/wav", headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Answer so."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def refusing(status: int, error: Any) -> Behaviour:
    """Answer with an error in JSON."""
    return sending(json.dumps(error).encode(), status, "application/json")


@dataclass
class SpeechServer:
    """What came, and how it answers, which may be changed."""

    url: str = ""
    answer: Behaviour = field(default_factory=lambda: sending(tone()))
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def speech_server() -> Iterator[SpeechServer]:
    """One that runs while the `with` block does."""
    state = SpeechServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._note(b"{}")
            if self.headers["authorization"] in (None, "Bearer right"):
                refusing(404, {"detail": "Not Found"})(self)
            else:
                refusing(401, {"error": {"message": "Incorrect API key"}})(self)

        def do_POST(self) -> None:
            self._note(self.rfile.read(int(self.headers["content-length"])))
            with contextlib.suppress(ConnectionError):  # who asked has gone
                state.answer(self)

        def _note(self, body: bytes) -> None:
            state.paths.append(self.path)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            state.bodies.append(json.loads(body))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
