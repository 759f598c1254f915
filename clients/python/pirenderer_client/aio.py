"""The same client for asyncio. Files are read and written in the event loop, a piece at a time."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Self, Unpack

import httpx

from pirenderer_client import calls
from pirenderer_client.calls import Animation, Call, Extraction, Filters, Input, Portrayed, Pose
from pirenderer_client.connections import Attempts, Download, Following, Server, check_suffix, whole_file
from pirenderer_client.errors import ServiceError, answer_error
from pirenderer_client.live import AsyncLive, LiveOptions
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


class AsyncJob(JobState["AsyncClient"]):
    """A job of a client: what is known of it, and what can be done with it. All raise ServiceError."""

    async def refresh(self) -> Self:
        """Ask for it as it is now."""
        self.document = await self._client.call(calls.about(self.id))
        return self

    def events(self) -> AsyncIterator[Event]:
        """Its events from the first on until it ends; then the job is as it ended.

        A broken connection is taken up where it broke.
        """
        return self._client.follow(self)

    async def wait(self, progress: Callable[[Progress], object] | None = None) -> Self:
        """Wait until it has succeeded; `progress` is told how far it is. Raises JobFailedError."""
        if not self.finished:
            async for event in self.events():
                if progress and event.progress:
                    progress(event.progress)
        if self.status != "succeeded":
            raise JobFailedError(self)
        return self

    async def save(self, path: str | PathLike[str]) -> Path:
        """Wait for its result and write it to `path`, whole or not at all. Raises JobFailedError, OSError.

        Raises ValueError: the suffix is that of another format.
        """
        await self.wait()
        check_suffix(Path(path), self)
        with whole_file(Path(path)) as file:
            await self._client.fetch(calls.about(self.id, "/result"), self.result, file)
        return Path(path)

    async def result_bytes(self) -> bytes:
        """Wait for its result. Raises JobFailedError."""
        await self.wait()
        await self._client.fetch(calls.about(self.id, "/result"), self.result, file := io.BytesIO())
        return file.getvalue()

    async def speech_bytes(self) -> bytes:
        """The sound that a video speaks with, be it sent or made of a text; `speech` has its type.

        Raises NotFoundError: it was made without, or has expired.
        """
        speech = self.speech or (await self.refresh()).speech
        await self._client.fetch(calls.about(self.id, "/speech"), speech, file := io.BytesIO())
        return file.getvalue()

    async def cancel(self) -> Self:
        """Stop it: at once while it waits, else soon."""
        self.document = await self._client.call(calls.cancel(self.id))
        return self

    async def rerun(self) -> "AsyncJob":
        """A new job of one that has ended: it makes the same again."""
        return AsyncJob(self._client, self._url, await self._client.call(calls.rerun(self.id)))

    async def delete(self) -> None:
        """Stop it and remove it with all its files."""
        await self._client.call(calls.delete("jobs", self.id))


class AsyncClient:
    """Makes jobs and finds them. All that it does raises ServiceError.

    Unset, `url` and `api_key` are PIRENDERER_URL and PIRENDERER_API_KEY of the environment, else this machine's.
    What may be sent again is sent again, up to `retries` times, where the connection breaks or the service is away.
    `timeout`: seconds in which nothing comes.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout: float = 60, retries: int = 3
    ) -> None:
        self._server = Server(url, api_key=api_key, timeout=timeout, retries=retries)
        self._http = httpx.AsyncClient(**self._server.options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def animate(self, portrait: Portrayed, **given: Unpack[Animation]) -> AsyncJob:
        """Make a video: let a portrait speak, or move as a driving video or a motion says. Raises OSError."""
        return self._job(await self.call(calls.animation(portrait, **given)))

    async def pose(self, portrait: Portrayed, **given: Unpack[Pose]) -> AsyncJob:
        """Make an image, or a ZIP of one for each of `motions`. Raises OSError."""
        return self._job(await self.call(calls.pose(portrait, **given)))

    async def extract(self, source: Input, **given: Unpack[Extraction]) -> AsyncJob:
        """Read the motion of an image or a video. Raises OSError."""
        return self._job(await self.call(calls.extraction(source, **given)))

    async def keep_portrait(self, portrait: Input) -> Portrait:
        """Keep a photo for many jobs. Raises OSError."""
        return known(Portrait, await self.call(calls.keep(portrait)))

    @asynccontextmanager
    async def live(self, portrait: Portrayed, **options: Unpack[LiveOptions]) -> AsyncIterator[AsyncLive]:
        """A live session with a portrait, which is kept first. Raises OSError, ModuleNotFoundError."""
        kept = portrait if isinstance(portrait, Portrait) else await self.keep_portrait(portrait)
        async with AsyncLive(self._server, kept, options) as live:
            yield live

    async def portraits(self) -> AsyncIterator[Portrait]:
        """The owner's portraits, newest first."""
        async for document in self._listed(calls.PORTRAITS, "portraits"):
            yield known(Portrait, document)

    async def portrait_bytes(self, portrait: Portrait) -> bytes:
        """The photo as it was sent. Raises NotFoundError: it has expired."""
        await self.fetch(calls.photo(portrait.id), portrait, file := io.BytesIO())
        return file.getvalue()

    async def delete_portrait(self, portrait: Portrait) -> None:
        """Remove a photo that is kept. Jobs made with it go on."""
        await self.call(calls.delete("portraits", portrait.id))

    async def job(self, job_id: str) -> AsyncJob:
        """The job with this id."""
        return self._job(await self.call(calls.about(job_id)))

    async def jobs(self, **wanted: Unpack[Filters]) -> AsyncIterator[AsyncJob]:
        """The owner's jobs, newest first, or those that are wanted."""
        async for document in self._listed(calls.jobs(**wanted), "jobs"):
            yield self._job(document)

    async def controls(self) -> list[MotionSpace]:
        """The motion spaces, each with its `controls`."""
        return motion_spaces((await self.call(calls.CONTROLS))["spaces"])

    async def voices(self) -> list[Voice]:
        """The voices that can speak a `text`."""
        return [known(Voice, each) for each in (await self.call(calls.VOICES))["voices"]]

    async def webhook_secret(self) -> str:
        """What the owner's webhooks are signed with, by which they are verified."""
        return str((await self.call(calls.WEBHOOK_SECRET))["secret"])

    async def test_webhook(self, url: str) -> WebhookTest:
        """Send a message to a webhook at once, once; what came of it."""
        return known(WebhookTest, await self.call(calls.webhook_test(url)))

    async def webhook_deliveries(self, job: AsyncJob | None = None) -> list[WebhookDelivery]:
        """The latest attempts to tell webhooks, newest first: of all jobs, or of one."""
        found = (await self.call(calls.webhook_deliveries(job)))["deliveries"]
        return [known(WebhookDelivery, each) for each in found]

    async def call(self, call: Call) -> Any:
        """Send a call; its answer."""
        attempts = Attempts(self._server, repeatable=call.repeatable)
        while True:
            try:
                with self._server.asked(), call.request(self._http) as request:
                    return self._server.answered(await self._http.send(request))
            except ServiceError as failure:
                await asyncio.sleep(attempts.pause(failure))

    async def follow(self, job: AsyncJob) -> AsyncIterator[Event]:
        """As `AsyncJob.events`."""
        following = Following(self._server, job)
        while not following.ended:
            try:
                with self._server.asked():
                    async with self._stream(following.call()) as response:
                        async for chunk in response.aiter_bytes():
                            for event in following.read(chunk):
                                yield event
                            if following.told:
                                break
                await job.refresh()
                following.closed()
            except ServiceError as failure:
                await asyncio.sleep(following.pause(failure))

    async def fetch(self, call: Call, told: File | None, file: BinaryIO) -> None:
        """Write a file that is kept to `file`, held against what was `told` of it. Raises OSError."""
        attempts = Attempts(self._server)
        while True:
            try:
                with self._server.asked():
                    async with self._stream(call) as response:
                        assert told is not None  # noqa: S101 - what is sent was told of
                        download = Download(file, told)
                        async for chunk in response.aiter_bytes():
                            download.write(chunk)
                return download.finish()
            except ServiceError as failure:
                await asyncio.sleep(attempts.pause(failure))

    async def _listed(self, first: Call, name: str) -> AsyncIterator[dict[str, Any]]:
        """What is on a page by this name, and on all that follow it."""
        call: Call | None = first
        while call:
            page = await self.call(call)
            for document in page[name]:
                yield document
            call = calls.next_page(call, page)

    @asynccontextmanager
    async def _stream(self, call: Call) -> AsyncIterator[httpx.Response]:
        """An answer as it comes. Where it is elsewhere, a client that has no key asks for it there."""
        async with AsyncExitStack() as stack:
            response = await self._http.send(stack.enter_context(call.request(self._http)), stream=True)
            stack.push_async_callback(response.aclose)
            if response.next_request is not None:
                url = response.next_request.url
                stranger = await stack.enter_async_context(httpx.AsyncClient(**self._server.strange_options(url)))
                response = await stack.enter_async_context(stranger.stream("GET", url))
            if not response.is_success:
                await response.aread()
                raise answer_error(response)
            yield response

    def _job(self, document: dict[str, Any]) -> AsyncJob:
        return AsyncJob(self, self._server.url, document)
