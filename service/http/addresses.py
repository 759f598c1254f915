"""Where things are: what addresses begin with, those of a job, and those of the pages of a list."""

from urllib.parse import quote, urlencode

from fastapi import Request
from starlette.requests import HTTPConnection

from jobs.schemas import Job, JobKind, Urls
from jobs.store.records import JobRecord
from service.settings import AUTHORITY, Settings


def base_of(request: HTTPConnection, settings: Settings) -> str:
    """What addresses begin with: `https://host/path`, as it was set, or as the request came.

    A proxy that is trusted says the scheme. Whoever makes up a Host gets its own answers with it; one that can be no
    host's name is left out, and addresses then begin with the path.
    """
    host = request.headers.get("host", "").lower()
    if settings.public_url or not AUTHORITY.fullmatch(host):
        return settings.base
    scheme = request.scope["scheme"].replace("ws", "http")  # of a WebSocket, whose address leads nowhere else
    return f"{scheme}://{host}{settings.root_path}"


def own_address(request: HTTPConnection, base: str) -> str:
    """The address that a request was sent to, without its query."""
    return base + quote(request.scope["path"], safe="/:@")


def page_links(request: Request, base: str, next_cursor: str | None) -> str:
    """The header Link (RFC 8288) of a page of a list: the first page and the next, asked for as this one was."""
    cursors = {"first": None, **({"next": next_cursor} if next_cursor else {})}
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    links = []
    for relation, cursor in cursors.items():
        query = urlencode([*asked, *([("cursor", cursor)] if cursor else [])])
        links.append(f'<{own_address(request, base)}{"?" if query else ""}{query}>; rel="{relation}"')
    return ", ".join(links)


def public_job(record: JobRecord, base: str) -> Job:
    """A job with its addresses, which begin with `base`."""
    address = f"{base}/v1/jobs/{record.id}"
    urls = Urls(
        self=address,
        events=f"{address}/events",
        cancel=f"{address}/cancel",
        result=f"{address}/result",
        stream=f"{address}/stream.m3u8" if record.kind is JobKind.VIDEO else None,
    )
    return record.public(urls, error=record.error and record.error.under(base))
