"""The client that waits for its answers."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Self, Unpack

import httpx

from pirenderer_client import calls
from pirenderer_client.calls import Animation, Call, Extraction, Input, Portrayed, Pose
from pirenderer_client.connections import Attempts, Download, Following, Server, whole_file
from pirenderer_client.errors import ServiceError, answer_error
from pirenderer_client.models import Event, JobFailedError, JobState, Portrait, Progress, known


class Job(JobState["Client"]):
    """A job of a client: what is known of it, and what can be done with it. All raise ServiceError."""

    def refresh(self) -> Self:
        """Ask for it as it is now."""
        self.document = self._client.call(calls.about(self.id))
        return self

    def events(self) -> Iterator[Event]:
        """Its events from the first on until it ends; then the job is as it ended.

        A broken connection is taken up where it broke.
        """
        return self._client.follow(self)

    def wait(self, progress: Callable[[Progress], object] | None = None) -> Self:
        """Wait until it has succeeded; `progress` is told how far it is. Raises JobFailedError."""
        if not self.finished:
            for event in self.events():
                if progress and event.progress:
                    progress(event.progress)
        if self.status != "succeeded":
            raise JobFailedError(self)
        return self

    def save(self, path: str | PathLike[str]) -> Path:
        """Wait for its result and write it to `path`, whole or not at all. Raises JobFailedError, OSError."""
        self.wait()
        with whole_file(Path(path)) as file:
            self._client.fetch(self, file)
        return Path(path)

    def result_bytes(self) -> bytes:
        """Wait for its result. Raises JobFailedError."""
        self.wait()
        self._client.fetch(self, file := io.BytesIO())
        return file.getvalue()

    def cancel(self) -> Self:
        """Stop it: at once while it waits, else soon."""
        self.document = self._client.call(calls.cancel(self.id))
        return self

    def rerun(self) -> "Job":
        """A new job of one that has ended: it makes the same again."""
        return Job(self._client, self._url, self._client.call(calls.rerun(self.id)))

    def delete(self) -> None:
        """Stop it and remove it with all its files."""
        self._client.call(calls.delete("jobs", self.id))


class Client:
    """Makes jobs and finds them. All that it does raises ServiceError; it may be shared by threads.

    What may be sent again is sent again, up to `retries` times, where the connection breaks or the service is away.
    `timeout`: seconds in which nothing comes.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout: float = 60, retries: int = 3) -> None:
        self._server = Server(url, api_key=api_key, timeout=timeout, retries=retries)
        self._http = httpx.Client(**self._server.options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def animate(self, portrait: Portrayed, **given: Unpack[Animation]) -> Job:
        """Make a video: let a portrait speak, or move as a driving video or a motion says. Raises OSError."""
        return self._job(self.call(calls.animation(portrait, **given)))

    def pose(self, portrait: Portrayed, **given: Unpack[Pose]) -> Job:
        """Make an image, or a ZIP of one for each of `motions`. Raises OSError."""
        return self._job(self.call(calls.pose(portrait, **given)))

    def extract(self, source: Input, **given: Unpack[Extraction]) -> Job:
        """Read the motion of an image or a video. Raises OSError."""
        return self._job(self.call(calls.extraction(source, **given)))

    def keep_portrait(self, portrait: Input) -> Portrait:
        """Keep a photo for many jobs. Raises OSError."""
        return known(Portrait, self.call(calls.keep(portrait)))

    def delete_portrait(self, portrait: Portrait) -> None:
        """Remove a photo that is kept. Jobs made with it go on."""
        self.call(calls.delete("portraits", portrait.id))

    def job(self, job_id: str) -> Job:
        """The job with this id."""
        return self._job(self.call(calls.about(job_id)))

    def jobs(
        self,
        *,
        status: Sequence[str] | str | None = None,
        kind: Sequence[str] | str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Job]:
        """The owner's jobs, newest first: those of a state, or of several, of a kind, and with all of this metadata."""
        call: Call | None = calls.jobs(status=status, kind=kind, metadata=metadata)
        while call:
            page = self.call(call)
            yield from map(self._job, page["jobs"])
            call = calls.next_page(call, page)

    def controls(self) -> list[dict[str, Any]]:
        """The motion spaces, each with its `controls`: names, ranges and units."""
        found: list[dict[str, Any]] = self.call(calls.CONTROLS)["spaces"]
        return found

    def voices(self) -> list[dict[str, Any]]:
        """The voices that can speak a `text`."""
        found: list[dict[str, Any]] = self.call(calls.VOICES)["voices"]
        return found

    def call(self, call: Call) -> Any:
        """Send a call; its answer."""
        attempts = Attempts(self._server, repeatable=call.repeatable)
        while True:
            try:
                with self._server.asked(), call.request(self._http) as request:
                    return self._server.answered(self._http.send(request))
            except ServiceError as failure:
                time.sleep(attempts.pause(failure))

    def follow(self, job: Job) -> Iterator[Event]:
        """As `Job.events`."""
        following = Following(self._server, job)
        while not following.ended:
            try:
                with self._server.asked(), self._stream(following.call()) as response:
                    for chunk in response.iter_bytes():
                        yield from following.read(chunk)
                        if following.told:
                            break
                job.refresh()
                following.closed()
            except ServiceError as failure:
                time.sleep(following.pause(failure))

    def fetch(self, job: Job, file: BinaryIO) -> None:
        """Write a job's result to a file. Raises OSError."""
        assert job.result is not None  # noqa: S101 - it has succeeded
        attempts = Attempts(self._server)
        while True:
            try:
                with self._server.asked(), self._stream(calls.about(job.id, "/result")) as response:
                    download = Download(file, job.result)
                    for chunk in response.iter_bytes():
                        download.write(chunk)
                return download.finish()
            except ServiceError as failure:
                time.sleep(attempts.pause(failure))

    @contextmanager
    def _stream(self, call: Call) -> Iterator[httpx.Response]:
        """An answer as it comes. Where it is elsewhere, a client that has no key asks for it there."""
        with ExitStack() as stack:
            response = self._http.send(stack.enter_context(call.request(self._http)), stream=True)
            stack.callback(response.close)
            if response.next_request is not None:
                url = response.next_request.url
                stranger = stack.enter_context(httpx.Client(**self._server.strange_options(url)))
                response = stack.enter_context(stranger.stream("GET", url))
            if not response.is_success:
                response.read()
                raise answer_error(response)
            yield response

    def _job(self, document: dict[str, Any]) -> Job:
        return Job(self, self._server.url, document)
