"""Reads a stream of server-sent events."""

from collections.abc import Iterator

import httpx
from httpx_sse import EventSource


def events_of(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events with data, field by field, as they come."""
    for sent in EventSource(response).iter_sse():
        if sent.data:
            yield {"id": sent.id, "event": sent.event, "data": sent.data}
