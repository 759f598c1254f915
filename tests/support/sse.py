"""Reads a stream of server-sent events."""

from collections.abc import Iterator

import httpx


def events_of(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events with data, field by field, as they come."""
    event: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        elif "data" in event:
            yield event
            event = {}
