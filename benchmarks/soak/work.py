"""Pieces of work as clients have them who mean well. Each is done by itself, one after another."""

import asyncio
import io
from collections.abc import Awaitable, Callable

from benchmarks.soak.bench import FRAMES, Bench

Piece = Callable[[Bench], Awaitable[None]]
Options = dict[str, str | float | None]

STARTED_S = 20.0
LATE_S = 3.0  # pictures are behind the sound, the more the busier the machine is
IMAGE_FORMATS = ("png", "jpeg", "webp")
VIDEO_FORMATS = ("mp4", "webm", "gif", "webp")


async def image_by_controls(bench: Bench) -> None:
    """The portrait is sent each time."""
    options: Options = {"format": bench.chance.choice(IMAGE_FORMATS), "paste_back": bench.chance.random() < 0.5}
    job = await bench.client.pose(bench.inputs.portrait, controls=bench.yaw(), options=options)
    await (await bench.finished(job)).result_bytes()


async def image_by_photo(bench: Bench) -> None:
    """Another face drives it."""
    job = await bench.client.pose(bench.kept, driving=bench.inputs.driver, options={"size": 128})
    await (await bench.finished(job)).result_bytes()


async def images_by_motions(bench: Bench) -> None:
    """A ZIP of them."""
    motions = [{"controls": bench.yaw()} for _ in range(3)]
    await bench.finished(await bench.client.pose(bench.kept, motions=motions))


async def image_by_address(bench: Bench) -> None:
    """The service fetches the portrait."""
    await bench.finished(await bench.client.pose(f"{bench.receiver.url}/portrait.jpg", controls=bench.yaw()))


async def video_by_speech(bench: Bench) -> None:
    """In each format."""
    options: Options = {"format": bench.chance.choice(VIDEO_FORMATS), "size": 256}
    job = await bench.client.animate(bench.kept, audio=bench.inputs.said(bench.chance), options=options)
    await (await bench.finished(job)).result_bytes()


async def video_by_text(bench: Bench) -> None:
    """Where something speaks texts."""
    if await bench.client.voices():
        job = await bench.client.animate(bench.kept, text=bench.chance.choice(("Yes.", "Hello.", "One, two.")))
        await (await bench.finished(job)).speech_bytes()


async def video_by_film(bench: Bench) -> None:
    """A short driving video."""
    await bench.finished(await bench.client.animate(bench.inputs.portrait, driving=bench.inputs.film))


async def video_by_keyframes(bench: Bench) -> None:
    """Played while it is made, then fetched in pieces."""
    motion = {"keyframes": [{"t": 0, "controls": {}}, {"t": 0.4, "controls": bench.yaw()}]}
    job = await bench.client.animate(bench.kept, motion=motion)
    playlist = await bench.http.get(f"/v1/jobs/{job.id}/stream.m3u8")
    bench.tally.answered(bench.piece, playlist, 200, 409)
    await bench.finished(job)
    playlist = await bench.http.get(f"/v1/jobs/{job.id}/stream.m3u8")
    bench.tally.answered(bench.piece, playlist, 200)
    for line in playlist.text.splitlines():
        if line and not line.startswith("#"):
            bench.tally.answered(bench.piece, await bench.http.get(playlist.url.join(line)), 200)
    result = f"/v1/jobs/{job.id}/result"
    for ranged in ("bytes=0-99", "bytes=-100", "bytes=100-"):
        bench.tally.answered(bench.piece, await bench.http.get(result, headers={"Range": ranged}), 206)
    beyond = await bench.http.get(result, headers={"Range": "bytes=999999999-"})
    bench.tally.answered(bench.piece, beyond, 416)
    head = await bench.http.head(result)
    again = await bench.http.get(result, headers={"If-None-Match": head.headers["etag"]})
    bench.tally.answered(bench.piece, again, 304)


async def motion_of_photo(bench: Bench) -> None:
    """Read, then used."""
    job = await bench.finished(await bench.client.extract(bench.inputs.driver))
    motion = await job.result_bytes()
    files = {"portrait": bench.inputs.portrait, "motion": motion}
    bench.tally.answered(bench.piece, await bench.http.post("/v1/images", files=files), 202)


async def motion_of_film(bench: Bench) -> None:
    """With a picture of what was read."""
    job = await bench.finished(await bench.client.extract(bench.inputs.film, options={"overlay": True}))
    if (job.result and job.result.frames) not in (None, FRAMES):
        bench.tally.strange(f"{bench.piece}: {job.result} is to have {FRAMES} frames")


async def portraits(bench: Bench) -> None:
    """Kept, listed, read; one is removed, the others go by themselves."""
    kept = [await bench.client.keep_portrait(each) for each in (bench.inputs.portrait, bench.inputs.driver)]
    listed = [each.id async for each in bench.client.portraits()]
    if not {each.id for each in kept} <= set(listed):
        bench.tally.strange(f"{bench.piece}: a kept portrait is not listed")
    await bench.client.portrait_bytes(kept[0])
    await bench.client.delete_portrait(kept[0])
    bench.kept = await bench.client.keep_portrait(bench.inputs.portrait)  # the one before may be near its end


async def lists(bench: Bench) -> None:
    """All pages, and some of the jobs."""
    mark = {"soak": str(bench.chance.randrange(5))}
    job = await bench.client.pose(bench.kept, controls=bench.yaw(), metadata=mark)
    found = [each.id async for each in bench.client.jobs(metadata=mark, kind="image")]
    if job.id not in found:
        bench.tally.strange(f"{bench.piece}: a new job is not listed")
    for status in ("queued", "running", "succeeded", "failed", "canceled", "expired"):
        page = await bench.http.get("/v1/jobs", params={"status": status, "limit": 20})
        bench.tally.answered(bench.piece, page, 200)
    await bench.finished(job)


async def events(bench: Bench) -> None:
    """A stream is left, and another goes on where it broke; one asks with a wait."""
    job = await bench.client.animate(bench.kept, audio=bench.inputs.said(bench.chance), options={"size": 128})
    path = f"/v1/jobs/{job.id}/events"
    last = ""
    async with bench.http.stream("GET", path) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                last = line[4:]
                break
    async with bench.http.stream("GET", path, headers={"Last-Event-ID": last}) as response:
        bench.tally.answered(bench.piece, response, 200)
        async for _ in response.aiter_lines():
            pass
    await bench.finished(job)
    files = {"portrait": bench.inputs.portrait, "motion": b'{"controls": {"yaw": 3}}'}
    waited = await bench.http.post("/v1/images", files=files, headers={"Prefer": "wait=20"})
    bench.tally.answered(bench.piece, waited, 200)


async def cancels(bench: Bench) -> None:
    """One job while it runs, one while it waits; both may be run again."""
    running = await bench.client.animate(bench.kept, audio=bench.inputs.said(bench.chance))
    waiting = [await bench.client.pose(bench.kept, controls=bench.yaw()) for _ in range(2)]
    async with asyncio.timeout(STARTED_S):
        async for event in running.events():
            if event.progress:
                break
    late = await bench.client.animate(bench.kept, audio=bench.inputs.said(bench.chance))
    await late.cancel()
    if running.status != "succeeded":
        await running.cancel()
    for job in (running, late):
        await bench.finished(job, "canceled", "succeeded")
    again = await late.rerun()
    await again.delete()
    for job in waiting:
        await bench.finished(job)
    await waiting[0].delete()
    missing = await bench.http.get(f"/v1/jobs/{waiting[0].id}")
    bench.tally.answered(bench.piece, missing, 404)


async def webhooks(bench: Bench) -> None:
    """Receivers that take messages, fail, hang or are gone."""
    for name, expected in (("taken", "delivered"), ("failing", "failed"), ("hanging", "failed"), ("gone", "failed")):
        hook = {"url": f"{bench.receiver.url}/{name}", "events": ["job.started", "job.succeeded"]}
        job = await bench.client.pose(bench.kept, controls=bench.yaw(), webhook=hook)
        await bench.finished(job)
        async with asyncio.timeout(30):
            while (await job.refresh()).document["webhook"]["status"] == "pending":  # noqa: ASYNC110 - no hurry
                await asyncio.sleep(0.5)
        if (status := job.document["webhook"]["status"]) != expected:
            bench.tally.strange(f"{bench.piece}: {name} came to {status}", webhook=job.document["webhook"])
    await bench.client.webhook_deliveries()
    await bench.client.test_webhook(f"{bench.receiver.url}/taken")


async def repeated(bench: Bench) -> None:
    """The same request twice is one job; a job is made again."""
    given = {"controls": bench.yaw(), "idempotency_key": f"soak-{bench.chance.random()}"}
    first = await bench.client.pose(bench.kept, **given)  # type: ignore[arg-type]
    second = await bench.client.pose(bench.kept, **given)  # type: ignore[arg-type]
    if first.id != second.id:
        bench.tally.strange(f"{bench.piece}: one Idempotency-Key made two jobs")
    await bench.finished(first)
    await bench.finished(await first.rerun())


async def discovery(bench: Bench) -> None:
    """What a page and programs ask for."""
    paths = ("/", "/docs", "/openapi.json", "/v1/controls", "/v1/models", "/v1/voices", "/v1/limits", "/v1/live")
    for path in (*paths, "/problems", "/problems/no-face", "/healthz", "/readyz", "/metrics", "/v1/webhooks/secret"):
        bench.tally.answered(bench.piece, await bench.http.get(path), 200)


async def live_by_controls(bench: Bench) -> None:
    """A head that turns for a while."""
    async with bench.client.live(bench.kept, size=128) as live:
        for step in range(10):
            number = await live.controls(yaw=2.0 * step)
            async with asyncio.timeout(STARTED_S):
                async for picture in live:
                    if picture.number is not None and picture.number >= number:
                        break
            await asyncio.sleep(0.1)


async def live_by_sound(bench: Bench) -> None:
    """A short speech, as it is heard."""
    sound = io.BytesIO(bench.inputs.speech[:32_000].astype("<i2").tobytes())
    seen = 0
    async with bench.client.live(bench.kept, size=128) as live:
        await live.drive("sound", seed=7)
        await anext(live)  # the face at rest: a worker has it

        async def look() -> None:
            nonlocal seen
            async for _ in live:
                seen += 1

        looking = asyncio.create_task(look())
        while piece := sound.read(1920):
            await live.hear(piece)
            await asyncio.sleep(0.06)
        await asyncio.sleep(LATE_S)
        looking.cancel()
    if not seen:
        bench.tally.strange(f"{bench.piece}: no picture came")


WORK: tuple[Piece, ...] = (
    *(image_by_controls, image_by_photo, images_by_motions, image_by_address),
    *(video_by_speech, video_by_text, video_by_film, video_by_keyframes, motion_of_photo, motion_of_film),
    *(portraits, lists, events, cancels, webhooks, repeated, discovery, live_by_controls, live_by_sound),
)
