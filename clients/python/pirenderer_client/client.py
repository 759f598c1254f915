"""The client that waits for its answers."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Self, Unpack

import httpx

from pirenderer_client import calls
from pirenderer_client.calls import Animation, Call, Extraction, Filters, Input, Portrayed, Pose
from pirenderer_client.connections import Attempts, Download, Following, Server, check_suffix, whole_file
from pirenderer_client.errors import ServiceError, answer_error
from pirenderer_client.live import Live, LiveOptions
from pirenderer_client.models import (
    Event,
    File,
    JobFailedError,
    JobState,
    MotionSpace,
    Portrait,
    Progress,
    Voice,
    WebhookDelivery,
    WebhookTest,
    known,
    motion_spaces,
)


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
        """Wait for its result and write it to `path`, whole or not at all. Raises JobFailedError, OSError.

        Raises ValueError: the suffix is that of another format.
        """
        self.wait()
        check_suffix(Path(path), self)
        with whole_file(Path(path)) as file:
            self._client.fetch(calls.about(self.id, "/result"), self.result, file)
        return Path(path)

    def result_bytes(self) -> bytes:
        """Wait for its result. Raises JobFailedError."""
        self.wait()
        self._client.fetch(calls.about(self.id, "/result"), self.result, file := io.BytesIO())
        return file.getvalue()

    def speech_bytes(self) -> bytes:
        """The sound that a video speaks with, be it sent or made of a text; `speech` has its type.

        Raises NotFoundError: it was made without, or has expired.
        """
        speech = self.speech or (self.refresh()).speech
        self._client.fetch(calls.about(self.id, "/speech"), speech, file := io.BytesIO())
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

    Unset, `url` and `api_key` are PIRENDERER_URL and PIRENDERER_API_KEY of the environment, else this machine's.
    What may be sent again is sent again, up to `retries` times, where the connection breaks or the service is away.
    `timeout`: seconds in which nothing comes.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout: float = 60, retries: int = 3
    ) -> None:
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

    @contextmanager
    def live(self, portrait: Portrayed, **options: Unpack[LiveOptions]) -> Iterator[Live]:
        """A live session with a portrait, which is kept first. Raises OSError, ModuleNotFoundError."""
        kept = portrait if isinstance(portrait, Portrait) else self.keep_portrait(portrait)
        with Live(self._server, kept, options) as live:
            yield live

    def portraits(self) -> Iterator[Portrait]:
        """The owner's portraits, newest first."""
        for document in self._listed(calls.PORTRAITS, "portraits"):
            yield known(Portrait, document)

    def portrait_bytes(self, portrait: Portrait) -> bytes:
        """The photo as it was sent. Raises NotFoundError: it has expired."""
        self.fetch(calls.photo(portrait.id), portrait, file := io.BytesIO())
        return file.getvalue()

    def delete_portrait(self, portrait: Portrait) -> None:
        """Remove a photo that is kept. Jobs made with it go on."""
        self.call(calls.delete("portraits", portrait.id))

    def job(self, job_id: str) -> Job:
        """The job with this id."""
        return self._job(self.call(calls.about(job_id)))

    def jobs(self, **wanted: Unpack[Filters]) -> Iterator[Job]:
        """The owner's jobs, newest first, or those that are wanted."""
        for document in self._listed(calls.jobs(**wanted), "jobs"):
            yield self._job(document)

    def controls(self) -> list[MotionSpace]:
        """The motion spaces, each with its `controls`."""
        return motion_spaces(self.call(calls.CONTROLS)["spaces"])

    def voices(self) -> list[Voice]:
        """The voices that can speak a `text`."""
        return [known(Voice, each) for each in self.call(calls.VOICES)["voices"]]

    def webhook_secret(self) -> str:
        """What the owner's webhooks are signed with, by which they are verified."""
        return str(self.call(calls.WEBHOOK_SECRET)["secret"])

    def test_webhook(self, url: str) -> WebhookTest:
        """Send a message to a webhook at once, once; what came of it."""
        return known(WebhookTest, self.call(calls.webhook_test(url)))

    def webhook_deliveries(self, job: Job | None = None) -> list[WebhookDelivery]:
        """The latest attempts to tell webhooks, newest first: of all jobs, or of one."""
        found = self.call(calls.webhook_deliveries(job))["deliveries"]
        return [known(WebhookDelivery, each) for each in found]

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

    def fetch(self, call: Call, told: File | None, file: BinaryIO) -> None:
        """Write a file that is kept to `file`, held against what was `told` of it. Raises OSError."""
        attempts = Attempts(self._server)
        while True:
            try:
                with self._server.asked(), self._stream(call) as response:
                    assert told is not None  # noqa: S101 - what is sent was told of
                    download = Download(file, told)
                    for chunk in response.iter_bytes():
                        download.write(chunk)
                return download.finish()
            except ServiceError as failure:
                time.sleep(attempts.pause(failure))

    def _listed(self, first: Call, name: str) -> Iterator[dict[str, Any]]:
        """What is on a page by this name, and on all that follow it."""
        call: Call | None = first
        while call:
            page = self.call(call)
            yield from page[name]
            call = calls.next_page(call, page)

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
