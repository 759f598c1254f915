"""The service's side of live sessions, played to a page."""

import io
import json
from collections.abc import Callable
from typing import Any

from PIL import Image
from playwright.sync_api import Page, WebSocketRoute

from jobs.live import CAMERA
from jobs.problems import Problem, ProblemType
from tests.support.processes import until


def problem(kind: ProblemType) -> dict[str, Any]:
    """A problem as a page is told of it."""
    found = {"workers": 1, "sessions": 1, "jobs": 0}
    return Problem.of(kind, "1 of 1 workers is in a session", got=found).model_dump(exclude_none=True)


def picture(number: int | None, color: str, size: int = 64, *, seen: bool = True) -> bytes:
    """A message with a picture of one colour that shows the state of that number."""
    header = json.dumps({"picture": 1, "number": number, "at": 0.5, "seen": seen}).encode()
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), color).save(buffer, "JPEG")
    return len(header).to_bytes(2, "big") + header + buffer.getvalue()


class LiveLines:
    """What a page says to `/v1/live`, and `sent`: its sounds and pictures.

    Each state of the controls is answered by a picture, red where nothing moves, and each picture of the camera by one
    that tells whether a face is `seen`. `refuse` ends each session at its start, while it is set.
    """

    def __init__(self, page: Page, *, refuse: ProblemType | None = None) -> None:
        self.refuse = refuse
        self.seen = True
        self._page = page
        self.lines: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        self.sent: list[bytes] = []
        page.route_web_socket("**/v1/live", self._open)

    def controls(self) -> list[dict[str, float]]:
        """The states of the controls that were asked for."""
        return [message["controls"] for message in self.said if message["type"] == "controls"]

    def starts(self) -> list[dict[str, Any]]:
        """How sessions were begun."""
        return [message for message in self.said if message["type"] == "start"]

    def drives(self) -> list[str]:
        """By what the portrait was to be moved, in order."""
        return [message["by"] for message in self.said if message["type"] == "drive"]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until the page has said something; its messages come while the page is asked."""
        until(
            lambda: condition() or self._page.wait_for_timeout(20),
            lambda: f"the page said {self.said} and sent {len(self.sent)} times",
        )

    def end(self, code: int, kind: ProblemType | None = None) -> None:
        """End the session that was opened last."""
        if kind:
            self.lines[-1].send(json.dumps({"type": "problem", "problem": problem(kind)}))
        self.lines[-1].close(code=code)

    def _open(self, line: WebSocketRoute) -> None:
        self.lines.append(line)
        line.on_message(self._hear(line))

    def _hear(self, line: WebSocketRoute) -> Callable[[str | bytes], None]:
        def hear(data: str | bytes) -> None:
            if isinstance(data, bytes):
                self.sent.append(data)
                if data[:1] == CAMERA:
                    line.send(picture(None, "green", seen=self.seen))
                return
            message = json.loads(data)
            self.said.append(message)
            if message["type"] == "start":
                if self.refuse:
                    self.end(1008, self.refuse)
                else:
                    line.send('{"type": "started", "session": "a", "width": 64, "height": 64, "space": "open478"}')
            elif message["type"] == "controls":
                line.send(picture(message["number"], "blue" if message["controls"] else "red"))

        return hear
