"""A video's stream as a player sees it, a worker's part being played on the real stores."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice

import httpx
import pytest

from jobs.files.keys import new_id
from jobs.problems import Problem, ProblemType
from jobs.schemas import JobStatus, Result
from jobs.segments import LENGTH, cut
from jobs.store.records import Fragment, Shared, Stream, StreamSegment
from service.routes.streams import media_playlist
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start, photo
from tests.service.routes.test_create import WAV, YAW, refused
from tests.service.running.test_slow_clients import connected, head
from tests.support.buckets import Bucket
from tests.support.processes import PATIENCE_S, until
from tests.support.streamed import Streamed

PLAYLIST = "application/vnd.apple.mpegurl"
HEAD = """\
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES
#EXT-X-START:TIME-OFFSET=0,PRECISE=YES
#EXT-X-MAP:URI="stream/init.mp4"
"""
FIRST_SEGMENT = "#EXTINF:0.480000,\nstream/0.m4s\n"


def create(server: Server) -> Streamed:
    """A video job."""
    response = server.client.post("/v1/videos", files={"portrait": photo(), "audio": WAV})
    assert response.status_code == 202
    return Streamed(server.context, str(response.json()["id"]))


def get(server: Server, video: Streamed, part: str = ".m3u8", **headers: str) -> httpx.Response:
    return server.client.get(f"/v1/jobs/{video.job_id}/stream{part}", headers=headers)


@contextmanager
def asking(server: Server, video: Streamed, part: str = ".m3u8") -> Iterator[list[httpx.Response]]:
    """A request that waits while the `with` block runs, and has its answer after it."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(get(server, video, part)))
    thread.start()
    until(lambda: server.context.followers.here, "nobody waits")
    assert answers == []
    yield answers
    thread.join(PATIENCE_S)
    assert answers, "it waits still"


@pytest.fixture
def patient(start: Start) -> Server:
    """A server that lets nobody wait in vain for long."""
    return start(max_wait_s=0.3)


def test_a_video_plays_while_it_is_made(patient: Server) -> None:
    video = create(patient)
    urls = patient.client.get(f"/v1/jobs/{video.job_id}").json()["urls"]
    assert urls["stream"] == f"{patient.url}/v1/jobs/{video.job_id}/stream.m3u8"
    video.begin()
    video.add(0)
    first = get(patient, video)
    assert (first.status_code, first.text) == (200, HEAD + FIRST_SEGMENT)
    assert (first.headers["content-type"], first.headers["cache-control"]) == (PLAYLIST, "private, no-cache")
    head = patient.client.head(urls["stream"])
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == first.headers["content-length"]
    video.add(2, frames=5)  # which another worker had made first
    assert get(patient, video).text == HEAD + FIRST_SEGMENT
    video.add(1)
    video.end(12 + 24 + 5)
    whole = HEAD + FIRST_SEGMENT + "#EXTINF:0.960000,\nstream/1.m4s\n#EXTINF:0.200000,\nstream/2.m4s\n#EXT-X-ENDLIST\n"
    assert get(patient, video).text == get(patient, video, ".m3u8?_HLS_msn=9").text == whole


@pytest.mark.parametrize(
    ("fps", "target", "longest"),
    [
        (Fraction(25), 4, "4.000000"),
        (Fraction(30000, 1001), 4, "3.336667"),
        (Fraction(60), 2, "1.666667"),
        (Fraction(1), 100, "100.000000"),
        (Fraction("29.97"), 4, "3.336670"),
    ],
)
def test_times_are_exact_and_none_is_longer_than_the_target(fps: Fraction, target: int, longest: str) -> None:
    segments = tuple(StreamSegment(len(span), "key") for span in islice(cut(), 5))
    for count in range(1, 6):
        stream = Stream(fps, "avc1", "init", segments[:count], complete=count == 5)
        lines = media_playlist(stream).splitlines()
        assert f"#EXT-X-TARGETDURATION:{target}" in lines
        assert lines.count("#EXT-X-ENDLIST") == (count == 5)
        times = [line.removeprefix("#EXTINF:").rstrip(",") for line in lines if line.startswith("#EXTINF")]
        for segment, told in zip(segments, times, strict=False):
            assert abs(Fraction(told) - segment.frames / fps) <= Fraction(1, 2_000_000)
            assert float(told) <= target
    assert times[-1] == longest
    assert segments[-1].frames == LENGTH


def test_who_asks_early_waits_for_the_first_segment(server: Server) -> None:
    video = create(server)
    with asking(server, video) as answers:
        video.begin()
        time.sleep(0.1)
        assert answers == []
        video.add(0)
    assert answers[0].text == HEAD + FIRST_SEGMENT
    with asking(server, video, ".m3u8?_HLS_msn=1") as answers:
        video.add(1)
    assert "stream/1.m4s" in answers[0].text
    assert server.context.followers.here == 0


def test_nobody_waits_for_ever(patient: Server) -> None:
    video = create(patient)
    for status in ("queued", "running"):
        early = get(patient, video)
        problem = refused(early, ProblemType.JOB_NOT_FINISHED)
        assert (problem["got"], early.headers["retry-after"]) == (status, "1")
        refused(get(patient, video, "/init.mp4"), ProblemType.JOB_NOT_FINISHED)
        refused(get(patient, video, "/0.m4s"), ProblemType.NOT_FOUND)
        if status == "queued":
            video.begin()
    video.add(0)
    assert get(patient, video, ".m3u8?_HLS_msn=1").text == HEAD + FIRST_SEGMENT
    for nonsense in ("-1", "x", "1.5", ""):
        refused(get(patient, video, f".m3u8?_HLS_msn={nonsense}"), ProblemType.INVALID_REQUEST)


def test_who_waits_is_told_how_the_job_ended(server: Server) -> None:
    for end, kind in (
        ("fail", ProblemType.NO_FACE), ("cancel", ProblemType.JOB_CANCELED), ("delete", ProblemType.NOT_FOUND)
    ):  # fmt: skip
        video = create(server)
        with asking(server, video) as answers:
            match end:
                case "fail":
                    problem = Problem.of(ProblemType.NO_FACE, "no face")
                    server.context.store.claims.fail(server.claim(video.job_id), problem)
                case "cancel":
                    server.client.post(f"/v1/jobs/{video.job_id}/cancel")
                case "delete":
                    server.client.delete(f"/v1/jobs/{video.job_id}")
        refused(answers[0], kind)
        for part in (".m3u8", "/init.mp4", "/0.m4s"):
            refused(get(server, video, part), kind)


def test_who_waits_is_let_go_when_the_front_end_stops(start: Start) -> None:
    server = start()
    video = create(server)
    with asking(server, video) as answers:
        server.front_end.should_exit = True
    refused(answers[0], ProblemType.JOB_NOT_FINISHED)


def test_where_many_wait_one_more_is_answered_at_once(start: Start) -> None:
    server = start(api_keys=FIRST, follow_share=1)
    server.client.headers["X-API-Key"] = FIRST
    video = create(server)
    with asking(server, video) as answers:
        refused(get(server, video), ProblemType.JOB_NOT_FINISHED)
        video.begin()
        video.add(0)
    assert answers[0].status_code == 200


def test_who_hangs_up_waits_no_longer(server: Server) -> None:
    video = create(server)
    with connected(server) as line:
        line.sendall(head("GET", f"/v1/jobs/{video.job_id}/stream.m3u8") + b"\r\n")
        until(lambda: server.context.followers.here == 1, "nobody waits")
    until(lambda: not server.context.followers.here, "it counts still")


def test_segments_have_ranges(server: Server) -> None:
    video = create(server)
    video.begin(b"init")
    video.add(0, b"0123456789")
    init, segment = get(server, video, "/init.mp4"), get(server, video, "/0.m4s")
    assert (init.content, init.headers["content-type"]) == (b"init", 'video/mp4; codecs="avc1.42c00d, mp4a.40.2"')
    assert (segment.content, segment.headers["content-type"]) == (b"0123456789", "video/iso.segment")
    assert segment.headers["cache-control"] == "private, no-cache"
    for part, whole in (("/init.mp4", init), ("/0.m4s", segment)):
        head = server.client.head(f"/v1/jobs/{video.job_id}/stream{part}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "etag"):
            assert head.headers[name] == whole.headers[name]
    piece = get(server, video, "/0.m4s", Range="bytes=2-4")
    assert (piece.status_code, piece.content, piece.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert get(server, video, "/0.m4s", Range="bytes=5-2").status_code == 200
    outside = get(server, video, "/0.m4s", Range="bytes=10-")
    refused(outside, ProblemType.RANGE_NOT_SATISFIABLE)
    assert outside.headers["content-range"] == "bytes */10"
    for wrong in ("/1.m4s", "/00.m4s", "/-0.m4s", "/+0.m4s", "/0.0.m4s", "/٠.m4s", "/.m4s", "/x.m4s", "/0", "/init"):
        refused(get(server, video, wrong), ProblemType.NOT_FOUND)
    server.artifacts.path(f"{video.job_id}/segment-0.m4s").unlink()
    refused(get(server, video, "/0.m4s"), ProblemType.JOB_EXPIRED)


def test_videos_alone_have_a_stream(server: Server) -> None:
    image = server.client.post("/v1/images", files={"portrait": photo()}, data={"motion": YAW}).json()
    motion = server.client.post("/v1/motions", files={"source": photo()}).json()
    for job in (image, motion):
        assert job["urls"]["stream"] is None
        for part in (".m3u8", "/init.mp4", "/0.m4s"):
            problem = refused(server.client.get(f"{job['urls']['self']}/stream{part}"), ProblemType.NOT_FOUND)
            assert (problem["got"], problem["allowed"]) == (job["kind"], "video")
    refused(get(server, Streamed(server.context, new_id())), ProblemType.NOT_FOUND)


def test_a_video_of_one_piece_has_a_result_alone(server: Server) -> None:
    video = create(server)
    server.succeed(video.job_id)  # as a worker of the version before does
    for part in (".m3u8", "/init.mp4", "/0.m4s"):
        refused(get(server, video, part), ProblemType.NOT_FOUND)


def test_a_video_of_one_segment_has_a_stream_when_it_has_a_result(server: Server) -> None:
    video = create(server)
    artifacts = server.context.artifacts
    init, segment, stored = (artifacts.put(video.job_id, name, [b"x"]) for name in ("init.mp4", "s-0.m4s", "r.mp4"))
    shared = Shared(head="", init=init.key, fps="25", codecs="avc1.42c00d")
    server.context.store.claims.succeed(
        server.claim(video.job_id),
        Result(media_type="video/mp4", bytes=stored.bytes, sha256=stored.sha256),
        key=stored.key,
        fragment=Fragment(segment.key, segment.bytes, 5, shared),
    )
    assert get(server, video).text == HEAD + "#EXTINF:0.200000,\nstream/0.m4s\n#EXT-X-ENDLIST\n"
    assert get(server, video, "/0.m4s").content == b"x"
    assert get(server, video, "/init.mp4").headers["content-type"] == 'video/mp4; codecs="avc1.42c00d"'


def test_another_owner_sees_nothing(start: Start) -> None:
    server = start(api_keys=BOTH)
    server.client.headers["X-API-Key"] = FIRST
    video = create(server)
    video.begin()
    video.add(0)
    for part in (".m3u8", "/init.mp4", "/0.m4s"):
        assert get(server, video, part).status_code == 200
        refused(get(server, video, part, **{"X-API-Key": SECOND}), ProblemType.NOT_FOUND)
        refused(get(server, video, part, **{"X-API-Key": "wrong"}), ProblemType.UNAUTHORIZED)


def test_an_expired_stream_is_gone(start: Start) -> None:
    server = start(retention_s=0.2)
    video = create(server)
    video.begin()
    video.add(0)
    video.end(12)
    video.join()

    def expired() -> bool:
        record = server.context.store.get(video.job_id)
        return record is not None and record.status is JobStatus.EXPIRED

    until(expired, "it does not expire")
    for part in (".m3u8", "/init.mp4", "/0.m4s"):
        refused(get(server, video, part), ProblemType.JOB_EXPIRED)


def test_segments_come_from_a_bucket(start: Start, bucket: Bucket) -> None:
    server = start(housekeeping_s=3600, **bucket.settings)
    video = create(server)
    video.begin(b"init")
    video.add(0, b"0123456789")
    assert get(server, video).text == HEAD + FIRST_SEGMENT
    there = get(server, video, "/0.m4s")
    assert (there.status_code, there.headers["cache-control"]) == (307, "no-store")
    part = httpx.get(there.headers["location"], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"234", "video/iso.segment")
    init = server.client.get(f"/v1/jobs/{video.job_id}/stream/init.mp4", follow_redirects=True)
    assert (init.content, init.headers["content-type"]) == (b"init", 'video/mp4; codecs="avc1.42c00d, mp4a.40.2"')
    head = server.client.head(f"/v1/jobs/{video.job_id}/stream/0.m4s", follow_redirects=True)
    assert (head.status_code, head.headers["content-length"]) == (200, "10")
