"""The client of a live session: what comes from it, no faster than it may, and what it is told."""

import json
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from jobs import problems
from jobs.problems import Problem, ProblemType
from jobs.store.live_streams import LivePicture
from service.http.problems import ProblemError, presentable_problem, problem_document

MAX_MESSAGES, MAX_BYTES = 120, 2_000_000  # in a second
NORMAL, REFUSED, LATER = 1000, 1008, 1011  # close codes


class Bucket:
    """How much may come: `rate` in a second, and as much at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._room = rate
        self._at = time.monotonic()

    def take(self, amount: float) -> bool:
        """Whether so much more may come now."""
        now = time.monotonic()
        self._room = min(self._rate, self._room + (now - self._at) * self._rate) - amount
        self._at = now
        return self._room >= 0


class LiveClient:
    """The client by its WebSocket, which is open. `heard_at` is when it last said something, by the monotonic clock."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self._messages, self._bytes = Bucket(MAX_MESSAGES), Bucket(MAX_BYTES)
        self.heard_at = time.monotonic()

    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnect, and ProblemError when they come too fast."""
        event = await self.websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event["code"])
        text = event.get("text")
        message: str | bytes = event["bytes"] if text is None else text
        self.heard_at = time.monotonic()
        if not (self._messages.take(1) and self._bytes.take(len(message))):
            raise ProblemError(
                ProblemType.TOO_MANY_REQUESTS,
                f"messages come too fast: a second has room for {MAX_MESSAGES} of {MAX_BYTES} bytes together",
                allowed={"messages": MAX_MESSAGES, "bytes": MAX_BYTES},
            )
        return message

    async def tell(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self.pass_on(json.dumps(message, ensure_ascii=False))

    async def pass_on(self, text: str) -> None:
        """Send a message that is JSON already."""
        await self.websocket.send_text(text)

    async def tell_problem(self, problem: Problem) -> None:
        """Say that a message was refused, or why the session ends."""
        await self.tell({"type": "problem", "problem": problem_document(self.websocket, problem)})

    async def refuse(self, error: problems.ProblemError) -> None:
        """Say that a message was refused."""
        await self.tell_problem(presentable_problem(error))

    async def show(self, picture: LivePicture) -> None:
        """Send a picture, and return when the client has taken it."""
        header = picture.header.encode()
        await self.websocket.send_bytes(len(header).to_bytes(2, "big") + header + picture.jpeg)

    async def close(self, code: int) -> None:
        """End it."""
        await self.websocket.close(code)
