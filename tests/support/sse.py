"""Reads a stream of server-sent events."""

from collections.abc import Iterator

import httpx

from pirenderer_client.sse import EventParser


def events_of(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events with data, field by field, as they come."""
    parser = EventParser()
    for chunk in response.iter_bytes():
        for sent in parser.feed(chunk):
            yield {"id": sent.id, "event": sent.name, "data": sent.data}
