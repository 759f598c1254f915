"""Pieces of work as clients have them who mean harm, or whose lines break."""

import asyncio
import base64
import json

import websockets

from benchmarks.soak.bench import HARM, Bench
from benchmarks.soak.work import Piece
from pirenderer_client import AsyncJob

EACH = 4  # files of a kind
REFUSED = (400, 413, 415, 422)


async def harmful_images(bench: Bench) -> None:
    """As a portrait."""
    for name, data in bench.chance.sample(bench.inputs.harmful["images"], EACH):
        await _sent(bench, "images", name, portrait=data, motion=b'{"controls": {"yaw": 5}}')


async def harmful_sounds(bench: Bench) -> None:
    """As what is spoken."""
    for name, data in bench.chance.sample(bench.inputs.harmful["sounds"], EACH):
        await _sent(bench, "videos", name, portrait=bench.inputs.portrait, audio=data)


async def harmful_videos(bench: Bench) -> None:
    """As what drives, and as what motion is read of."""
    for name, data in bench.chance.sample(bench.inputs.harmful["videos"], EACH):
        await _sent(bench, "motions", name, source=data)


async def harmful_motions(bench: Bench) -> None:
    """As a motion."""
    for name, data in bench.chance.sample(bench.inputs.harmful["motions"], EACH):
        await _sent(bench, "images", name, portrait=bench.inputs.portrait, motion=data)


async def _sent(bench: Bench, call: str, name: str, **files: bytes) -> None:
    """Send files one of which, `name`, is meant to do harm."""
    answer = await bench.http.post(f"/v1/{call}", files=files)
    bench.tally.answered(f"{bench.piece} ({name})", answer, 202, *REFUSED)
    if answer.status_code == 202:
        job = await bench.client.job(answer.json()["id"])
        bench.piece = f"{bench.piece.partition(' (')[0]} ({name})"
        await bench.finished(job, *HARM)


async def wrong_requests(bench: Bench) -> None:
    """What is no JSON, no path, no key, or too much."""
    wrong = {"content": b'{"portrait": ', "headers": {"Content-Type": "application/json"}}
    bench.tally.answered(bench.piece, await bench.http.post("/v1/images", **wrong), *REFUSED)  # type: ignore[arg-type]
    bench.tally.answered(bench.piece, await bench.http.post("/v1/images", json={"portrait": 7}), *REFUSED)
    uri = "data:image/jpeg;base64," + base64.b64encode(bench.inputs.portrait[:2000]).decode()
    answer = await bench.http.post("/v1/images", json={"portrait": uri, "motion": {"controls": {"yaw": 900}}})
    bench.tally.answered(bench.piece, answer, *REFUSED)
    for path in ("/v1/nothing", f"/v1/jobs/{bench.chance.randbytes(16).hex()}", "/v1/portraits/x", "/problems/x"):
        bench.tally.answered(bench.piece, await bench.http.get(path), 404, 422)
    bench.tally.answered(bench.piece, await bench.http.get("/v1/jobs", params={"nothing": "1"}), 422)
    bench.tally.answered(bench.piece, await bench.http.put("/v1/jobs"), 405)
    stranger = {"Authorization": f"Bearer pir_{bench.chance.randbytes(32).hex()}"}
    bench.tally.answered(bench.piece, await bench.http.get("/v1/jobs", headers=stranger), 401)


async def huge_headers(bench: Bench) -> None:
    """More than a request may have, and nothing that is HTTP."""
    for text in (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", bench.chance.randbytes(5000)):
        reader, writer = await _connected(bench)
        try:
            writer.write(text)
            await writer.drain()
            async with asyncio.timeout(20):
                await reader.read()
        except OSError:
            pass
        writer.close()


async def cut_off_uploads(bench: Bench) -> None:
    """Forms that say that they are longer than what comes; half of the clients vanish, half stay and say no more."""
    for vanish in (True, False):
        reader, writer = await _connected(bench)
        head = (
            f"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bench.service.key}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="portrait"; filename="a"\r\n\r\n'
        )
        writer.write(head.encode() + bench.inputs.portrait[:5000])
        await writer.drain()
        await asyncio.sleep(0.3)
        if vanish:
            writer.transport.abort()
        else:
            writer.write_eof()
            async with asyncio.timeout(20):
                await reader.read()
            writer.close()


async def clients_that_vanish(bench: Bench) -> None:
    """While they wait for a job, for its events, or for its result."""
    files = {"portrait": bench.inputs.portrait, "motion": b'{"controls": {"yaw": 4}}'}
    job: AsyncJob | None = None
    for path in ("events", "result", ""):
        answer = await bench.http.post("/v1/images", files=files)
        bench.tally.answered(bench.piece, answer, 202)
        job = await bench.client.job(answer.json()["id"])
        if path == "result":
            await bench.finished(job)
        _, writer = await _connected(bench)
        line = f"GET /v1/jobs/{job.id}/{path}".rstrip("/")
        writer.write(f"{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bench.service.key}\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
        if path != "result":
            await bench.finished(job)


async def _connected(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = bench.service.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def live_that_breaks(bench: Bench) -> None:
    """Sessions whose clients vanish, say what is no message, or want what there is not."""
    headers = {"Authorization": f"Bearer {bench.service.key}"}
    url = bench.service.url.replace("http", "ws") + "/v1/live"
    for last in ("vanish", "{", "\0" * 70_000, '{"type": "start"}'):
        async with websockets.connect(
            url, additional_headers=headers, subprotocols=[websockets.Subprotocol("pirenderer.live.v1")]
        ) as line:
            start = {"type": "start", "portrait_id": bench.kept.id, "options": {"size": 128}}
            await line.send(json.dumps(start))
            async with asyncio.timeout(30):
                while isinstance(await line.recv(), str):  # until there is a picture
                    pass
            if last == "vanish":
                line.transport.abort()
                continue
            await line.send(last)
            try:
                async with asyncio.timeout(5):
                    while True:
                        await line.recv()
            except (TimeoutError, websockets.ConnectionClosed):
                pass


async def limited(bench: Bench) -> None:
    """A key that has a rate and a quota, used beyond both."""
    headers = {"Authorization": f"Bearer {bench.service.limited}"}
    files = {"portrait": bench.inputs.portrait, "motion": b'{"controls": {"yaw": 4}}'}
    for _ in range(8):
        answer = await bench.http.post("/v1/images", files=files, headers=headers)
        bench.tally.answered(bench.piece, answer, 202, 429)
    for _ in range(30):
        answer = await bench.http.get("/v1/jobs", headers=headers)
        bench.tally.answered(bench.piece, answer, 200, 429)
    bench.tally.answered(f"{bench.piece}, one too many", answer, 429)


async def odd_webhooks(bench: Bench) -> None:
    """Addresses that lead nowhere."""
    for url in ("http://127.0.0.1:1/", "http://nowhere.invalid/", "ftp://a/", "http://127.0.0.1:70000/"):
        files = {
            "portrait": bench.inputs.portrait,
            "motion": b'{"controls": {"yaw": 4}}',
            "webhook": json.dumps({"url": url}).encode(),
        }
        bench.tally.answered(bench.piece, await bench.http.post("/v1/images", files=files), 202, 422)


TROUBLE: tuple[Piece, ...] = (
    *(harmful_images, harmful_sounds, harmful_videos, harmful_motions, wrong_requests, huge_headers),
    *(cut_off_uploads, clients_that_vanish, live_that_breaks, limited, odd_webhooks),
)
