"""The calls of the API, before they are sent: addresses, forms and how often each may be sent."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, Unpack

import httpx

from pirenderer_client.models import JobState, Kind, Portrait, Status

CANCEL_S = 5.0  # somebody waits
ADDRESSES = ("https://", "http://", "data:")
FILES = ("portrait", "audio", "driving", "source")

Input = str | PathLike[str] | bytes | BinaryIO
"""A file: its path, its bytes, an open file (sent from its start), or an address that the service fetches it from, as
text that begins with `https://` or `data:`."""
Portrayed = Input | Portrait
"""A photo: a file, or one that the service keeps."""


class Terms(TypedDict, total=False):
    """What may go with every job. `options` are those of the API, `deadline` is in seconds.

    A job that has not begun after `deadline` fails. Of two calls with one `idempotency_key` the second answers with the
    job of the first; each call makes a key of its own where none is given.
    """

    options: Mapping[str, str | float | None] | None
    metadata: Mapping[str, str] | None
    webhook: Mapping[str, str | Sequence[str]] | None
    deadline: float | None
    idempotency_key: str | None


class Pose(Terms, total=False):
    """How an image is posed: by one of these. `controls` are a motion of named controls: {"yaw": 20, "smile": 0.6}."""

    controls: Mapping[str, float] | None
    motion: Mapping[str, Any] | None
    motions: Sequence[Mapping[str, Any]] | None
    driving: Input | None


class Animation(Terms, total=False):
    """What a portrait is animated by: speech as a sound or as `text` for a `voice`, a driving video, a motion."""

    audio: Input | None
    text: str | None
    voice: str | None
    driving: Input | None
    controls: Mapping[str, float] | None
    motion: Mapping[str, Any] | None


class Extraction(Terms, total=False):
    """What may go with the extraction of motion."""


class Filters(TypedDict, total=False):
    """Which jobs are listed: those of a state, or of several, of a kind, and with all of this metadata.

    They were made at `created_after` or later, and before `created_before`; a time needs its zone.
    """

    status: Status | Sequence[Status] | None
    kind: Kind | Sequence[Kind] | None
    metadata: Mapping[str, str] | None
    created_after: datetime | None
    created_before: datetime | None


@dataclass(frozen=True)
class Call:
    """One call. `fields` are those of its form; with a `key` it may be sent again."""

    method: str
    path: str
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    timeout: float | None = None

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows what came of it."""
        files = [self.fields[name] for name in FILES if hasattr(self.fields.get(name), "read")]
        return (self.method == "GET" or self.key is not None) and all(file.seekable() for file in files)

    @contextmanager
    def request(self, http: httpx.Client | httpx.AsyncClient) -> Iterator[httpx.Request]:
        """The request as it is sent, its files open: a form where there are files, else JSON. Raises OSError."""
        headers = {**self.headers, **({"Idempotency-Key": self.key} if self.key else {})}
        timeout = httpx.USE_CLIENT_DEFAULT if self.timeout is None else self.timeout
        with ExitStack() as stack:
            yield http.build_request(
                self.method, self.path, params=self.params, headers=headers, timeout=timeout, **self._body(stack)
            )

    def _body(self, stack: ExitStack) -> dict[str, Any]:
        files = {
            name: (name, _opened(value, stack))
            for name, value in self.fields.items()
            if name in FILES and not _named(value)
        }
        if not files:
            documents = {
                name: {"id": value.id} if isinstance(value, Portrait) else value for name, value in self.fields.items()
            }
            return {"json": documents} if documents else {}
        return {"files": files, "data": dict(_text(*item) for item in self.fields.items() if item[0] not in files)}


def _named(value: Any) -> bool:
    """Whether a file is named rather than sent."""
    return isinstance(value, Portrait) or (isinstance(value, str) and value.startswith(ADDRESSES))


def _opened(value: Input, stack: ExitStack) -> bytes | BinaryIO:
    if isinstance(value, str | PathLike):
        return stack.enter_context(Path(value).open("rb"))
    return value


def _text(name: str, value: Any) -> tuple[str, str]:
    """A field of a form that is no file."""
    if isinstance(value, Portrait):
        return f"{name}_id", value.id
    return name, value if isinstance(value, str) else json.dumps(value)


def animation(portrait: Portrayed, **given: Unpack[Animation]) -> Call:
    """POST /v1/videos."""
    return _create("videos", {"portrait": portrait, **given})


def pose(portrait: Portrayed, **given: Unpack[Pose]) -> Call:
    """POST /v1/images."""
    return _create("images", {"portrait": portrait, **given})


def extraction(source: Input, **given: Unpack[Extraction]) -> Call:
    """POST /v1/motions."""
    return _create("motions", {"source": source, **given})


def _create(kind: str, given: Mapping[str, Any]) -> Call:
    """Raises ValueError: a motion is given twice."""
    fields = {name: value for name, value in given.items() if value is not None}
    key = fields.pop("idempotency_key", None) or uuid.uuid4().hex
    controls = fields.pop("controls", None)
    if controls is not None:
        if "motion" in fields:
            raise ValueError("controls and motion are given; allowed is one of them, for controls are a motion")
        fields["motion"] = {"controls": controls}
    return Call("POST", f"/v1/{kind}", fields=fields, key=key)


def about(job_id: str, part: str = "", **options: Any) -> Call:
    """GET a job or a part of it."""
    return Call("GET", f"/v1/jobs/{job_id}{part}", **options)


def cancel(job_id: str) -> Call:
    """POST .../cancel."""
    return Call("POST", f"/v1/jobs/{job_id}/cancel", timeout=CANCEL_S)


def rerun(job_id: str) -> Call:
    """POST .../rerun."""
    return Call("POST", f"/v1/jobs/{job_id}/rerun")


def delete(kind: str, name: str) -> Call:
    """DELETE a job or a portrait."""
    return Call("DELETE", f"/v1/{kind}/{name}")


def keep(portrait: Input) -> Call:
    """POST /v1/portraits."""
    return Call("POST", "/v1/portraits", fields={"portrait": portrait})


def photo(portrait_id: str) -> Call:
    """GET the file of a portrait."""
    return Call("GET", f"/v1/portraits/{portrait_id}/file")


CONTROLS = Call("GET", "/v1/controls")
VOICES = Call("GET", "/v1/voices")
PORTRAITS = Call("GET", "/v1/portraits")  # the first page
WEBHOOK_SECRET = Call("GET", "/v1/webhooks/secret")


def webhook_test(url: str) -> Call:
    """POST /v1/webhooks/test."""
    return Call("POST", "/v1/webhooks/test", fields={"url": url})


def webhook_deliveries(job: JobState[Any] | None) -> Call:
    """GET /v1/webhooks/deliveries."""
    return Call("GET", "/v1/webhooks/deliveries", params={"job": job.id} if job else {})


def jobs(**wanted: Unpack[Filters]) -> Call:
    """GET the first page of /v1/jobs."""
    params = {name: _parameter(value) for name, value in wanted.items() if value is not None}
    return Call("GET", "/v1/jobs", params=params)


def _parameter(value: Any) -> str | Sequence[str]:
    """A filter as it stands in an address."""
    if isinstance(value, Mapping):
        return [f"{name}:{text}" for name, text in value.items()]
    found: str | Sequence[str] = value.isoformat() if isinstance(value, datetime) else value
    return found


def next_page(call: Call, page: Mapping[str, Any]) -> Call | None:
    """What asks for the page after this one, if there is one."""
    cursor = page.get("next_cursor")
    return replace(call, params={**call.params, "cursor": cursor}) if cursor else None
