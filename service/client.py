"""A client of the HTTP API."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from httpx_sse import EventSource

from jobs.files.written import written
from jobs.problems import Problem
from jobs.schemas import Job
from jobs.store.records import Event

RECONNECTS = 5
CANCEL_S = 5.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServiceError(Exception):
    """The service answered with a problem, or not at all."""

    def __init__(self, text: str, problem: Problem | None = None) -> None:
        super().__init__(text)
        self.problem = problem


class Client:
    """Creates jobs, follows them and fetches their results."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        """Raises ServiceError: the address is none of a server, or the key none of ours."""
        _check_address(url)
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ServiceError("the API key has characters that no key has; a key is printable ASCII")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._url = url
        self._http = _http_client(url, base_url=url, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def create(self, call: str, files: Mapping[str, Path], **texts: str) -> Job:
        """POST a form to `/v1/CALL`. Raises ServiceError, OSError for a file that cannot be read."""
        with ExitStack() as stack:
            opened = {name: stack.enter_context(path.open("rb")) for name, path in files.items()}
            response = self._send("POST", f"/v1/{call}", files=opened, data=texts)
        return Job.model_validate(response.json())

    def job(self, job_id: str) -> Job:
        """The job as it is now. Raises ServiceError."""
        return Job.model_validate(self._send("GET", _address(job_id)).json())

    def cancel(self, job: Job) -> None:
        """Cancel the job, within seconds, for somebody waits. Raises ServiceError."""
        self._send("POST", _address(job.id, "/cancel"), timeout=CANCEL_S)

    def follow(self, job: Job) -> Iterator[Event]:
        """The job's events until it ends; a broken connection is taken up where it broke. Raises ServiceError."""
        last = ""
        failures = 0  # since the last event
        while failures < RECONNECTS:
            try:
                headers = {"Last-Event-ID": last} if last else {}
                with self._http.stream("GET", _address(job.id, "/events"), headers=headers) as response:
                    if response.is_error:
                        response.read()
                        raise _service_error(response)
                    for event in _events(response):
                        last, failures = event.id, 0
                        yield event
                        if event.ends:
                            return
            except httpx.TransportError as error:
                if failures == RECONNECTS - 1:
                    raise ServiceError(f"the connection to {self._url} broke: {error}") from error
            failures += 1
            time.sleep(0.5)
        if not self.job(job.id).status.finished:
            raise ServiceError(f"the events of job {job.id} ended before the job did")

    def fetch(self, job: Job, path: Path) -> None:
        """Write the job's result to `path`, whole or not at all. Raises ServiceError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written(path) as temporary, self._result(job) as response, temporary.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        except httpx.TransportError as error:
            raise ServiceError(f"the connection to {self._url} broke: {error}") from error

    @contextmanager
    def _result(self, job: Job) -> Iterator[httpx.Response]:
        """The answer that holds a result. Where it is elsewhere, a client that has no key asks for it there."""
        with ExitStack() as stack:
            response = stack.enter_context(self._http.stream("GET", _address(job.id, "/result")))
            if response.next_request is not None:
                url = response.next_request.url
                stranger = stack.enter_context(_http_client(str(url)))
                response = stack.enter_context(stranger.stream("GET", url))
            if response.is_error:
                response.read()
                raise _service_error(response)
            yield response

    def _send(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **keywords)
        except httpx.TransportError as error:
            raise ServiceError(f"no answer from {self._url}: {error}; is `pirenderer serve` running?") from error
        if response.is_error:
            raise _service_error(response)
        return response


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and httpx.URL(url):
            return
    except (ValueError, httpx.InvalidURL):  # of the host, the port or a character
        pass
    raise ServiceError(f"{url!r} is no address of a server; allowed is http://HOST[:PORT], or https://")


def _address(job_id: str, part: str = "") -> str:
    """Where a job is under the URL of the service, to which httpx adds it whatever path a proxy serves it under."""
    return f"/v1/jobs/{job_id}{part}"


def _http_client(url: str, **options: Any) -> httpx.Client:
    return httpx.Client(
        timeout=httpx.Timeout(60, connect=10),
        trust_env=urlsplit(url).hostname not in LOOPBACK,  # a proxy cannot reach this machine's own addresses
        **options,
    )


def _service_error(response: httpx.Response) -> ServiceError:
    try:
        problem = Problem.model_validate(response.json())
    except ValueError:
        place = response.url.copy_with(query=None)  # what a signed address asks for is not to be shown
        return ServiceError(f"{place} answered {response.status_code}")
    return ServiceError(f"{problem.title}: {problem.detail}", problem)


def _events(response: httpx.Response) -> Iterator[Event]:
    """Server-sent events but those without data, as which comments come that keep the line alive."""
    return (Event(sent.id, sent.event, sent.data) for sent in EventSource(response).iter_sse() if sent.data)
