"""Conditional requests (RFC 9110, 13): an answer has a tag, and is not sent again to who has it already."""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASK_AGAIN = {"Cache-Control": "private, no-cache"}  # who kept it asks whether it is still there


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the header If-None-Match names what has the tag `etag`."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags


class EntityTags:
    """Tags answers to GET and HEAD that come in one piece, and answers 304 to who has them already.

    Left alone is what has a tag or may not be kept, and what comes in pieces: files and streams.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        start: Message | None = None  # held back until its body is there

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _may_be_tagged(message):
                start = message
                return
            if start is not None:
                held, start = start, None
                if not message.get("more_body"):
                    message = _tag(held, message, Headers(scope=scope).get("if-none-match"))
                await send(held)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _may_be_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] == 200
        and "content-length" in headers
        and "etag" not in headers
        and "no-store" not in headers.get("cache-control", "")
    )


def _tag(start: Message, body: Message, if_none_match: str | None) -> Message:
    """Give an answer its tag, and hand over its body: none where that is known."""
    headers = MutableHeaders(scope=start)
    headers["ETag"] = f'"{hashlib.sha256(body.get("body", b"")).hexdigest()[:32]}"'
    headers.setdefault("Cache-Control", ASK_AGAIN["Cache-Control"])
    if not is_known(if_none_match, headers["ETag"]):
        return body
    start["status"] = 304
    del headers["content-length"]
    del headers["content-type"]
    return {"type": "http.response.body", "body": b""}
