"""The service's side of live sessions, played to a page."""

import io
import json
from collections.abc import Callable
from typing import Any

from PIL import Image
from playwright.sync_api import Page, WebSocketRoute

UNAVAILABLE = {
    "type": "/problems/live-unavailable",
    "title": "No live session",
    "status": 503,
    "detail": "1 of 1 workers is in a session",
}


def picture(number: int | None, color: str, size: int = 64) -> bytes:
    """A message with a picture of one colour that shows the state of that number."""
    header = json.dumps({"picture": 1, "number": number, "at": 0.5}).encode()
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), color).save(buffer, "JPEG")
    return len(header).to_bytes(2, "big") + header + buffer.getvalue()


class LiveLines:
    """What a page says to `/v1/live`; each state of the controls is answered by a picture, red where nothing moves.

    `refuse` (a problem document) ends each session at its start, while it is set.
    """

    def __init__(self, page: Page, *, refuse: dict[str, Any] | None = None) -> None:
        self.refuse = refuse
        self._page = page
        self.lines: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        page.route_web_socket("**/v1/live", self._open)

    def controls(self) -> list[dict[str, float]]:
        """The states of the controls that were asked for."""
        return [message["controls"] for message in self.said if message["type"] == "controls"]

    def starts(self) -> list[dict[str, Any]]:
        """How sessions were begun."""
        return [message for message in self.said if message["type"] == "start"]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until the page has said something; its messages come while the page is asked."""
        for _ in range(300):
            if condition():
                return
            self._page.wait_for_timeout(20)
        raise AssertionError(f"the page said {self.said}")

    def end(self, code: int, problem: dict[str, Any] | None = None) -> None:
        """End the session that was opened last."""
        if problem:
            self.lines[-1].send(json.dumps({"type": "problem", "problem": problem}))
        self.lines[-1].close(code=code)

    def _open(self, line: WebSocketRoute) -> None:
        self.lines.append(line)
        line.on_message(self._hear(line))

    def _hear(self, line: WebSocketRoute) -> Callable[[str | bytes], None]:
        def hear(data: str | bytes) -> None:
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
