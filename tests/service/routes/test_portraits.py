"""Portraits uploaded once, and batches of motions on one portrait."""

import json
import os
import time
from typing import Any

import httpx
import pytest

from jobs.motions import ControlsMotion
from jobs.problems import ProblemType
from jobs.schemas import ImageSpec, VideoSpec
from service.access.keys import KeyFile
from service.access.throttle import OPEN_OWNER
from service.background.upkeep import sweep
from tests.service.conftest import FIRST, Server, Start, photo
from tests.service.routes.test_create import WAV, YAW, nothing_left, post, refused
from tests.support.buckets import Bucket
from tests.support.processes import until


def upload(server: Server, data: bytes, **headers: str) -> dict[str, Any]:
    response = server.client.post("/v1/portraits", files={"portrait": ("x.exe", data)}, headers=headers)
    assert response.status_code == 201, response.text
    portrait: dict[str, Any] = response.json()
    assert response.headers["location"] == portrait["urls"]["self"] == f"{server.url}/v1/portraits/{portrait['id']}"
    return portrait


def pose(server: Server, portrait_id: str, **headers: str) -> httpx.Response:
    form = {"portrait_id": (None, portrait_id), "motion": (None, YAW)}
    return server.client.post("/v1/images", files=form, headers=headers)


def test_a_portrait_serves_many_jobs(server: Server) -> None:
    data = photo(64, 48, "PNG")
    portrait = upload(server, data)
    assert (portrait["media_type"], portrait["width"], portrait["height"]) == ("image/png", 64, 48)
    assert portrait["bytes"] == len(data)
    specs = [server.claim(pose(server, portrait["id"]).json()["id"]).spec for _ in range(2)]
    spoken = server.client.post("/v1/videos", files={"portrait_id": (None, portrait["id"]), "audio": WAV})
    specs.append(server.claim(spoken.json()["id"]).spec)
    for spec in specs:
        assert isinstance(spec, ImageSpec | VideoSpec)
        assert spec.portrait.sha256 == portrait["sha256"]
        assert portrait["id"] not in spec.portrait.key
        assert server.artifacts.path(spec.portrait.key).read_bytes() == data
    read = server.client.get(portrait["urls"]["self"]).json()
    assert read["expires_at"] > portrait["expires_at"]  # used since
    assert {**read, "expires_at": None} == {**portrait, "expires_at": None}


def test_a_job_outlives_its_portrait(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    job = pose(server, kept["id"]).json()
    assert server.client.delete(kept["urls"]["self"]).status_code == 204
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert server.artifacts.path(spec.portrait.key).read_bytes() == portrait
    refused(server.client.get(kept["urls"]["self"]), ProblemType.NOT_FOUND)
    problem = refused(pose(server, kept["id"]), ProblemType.NO_SUCH_PORTRAIT)
    assert problem["got"] == kept["id"]
    assert not server.artifacts.path(f"{kept['id']}/x").parent.exists()


def test_a_kept_photo_is_given_back(server: Server) -> None:
    data = photo(64, 48, "PNG")
    kept = upload(server, data)
    address = kept["urls"]["file"]
    answer = server.client.get(address)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", data)
    assert answer.headers["etag"] == f'"{kept["sha256"]}"'
    assert server.client.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert server.client.get(address, headers={"Range": "bytes=1-3"}).content == data[1:4]
    head = server.client.head(address)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))
    server.artifacts.delete_folder(kept["id"])
    refused(server.client.get(address), ProblemType.NOT_FOUND)
    server.client.delete(kept["urls"]["self"])
    refused(server.client.get(address), ProblemType.NOT_FOUND)


def test_a_kept_photo_comes_from_the_bucket(start: Start, bucket: Bucket) -> None:
    server = start(**bucket.settings)
    data = photo()
    answer = server.client.get(upload(server, data)["urls"]["file"])
    assert answer.status_code == 307
    assert httpx.get(answer.headers["location"], trust_env=False).content == data


def test_deleting_a_job_leaves_its_portrait(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    server.client.delete(pose(server, kept["id"]).json()["urls"]["self"])
    assert pose(server, kept["id"]).status_code == 202


def test_portraits_are_listed_newest_first_by_cursor(server: Server, portrait: bytes) -> None:
    made = [upload(server, portrait)["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        query: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = server.client.get("/v1/portraits", params=query).json()
        seen += [each["id"] for each in page["portraits"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    refused(server.client.get("/v1/portraits?cursor=!!"), ProblemType.BAD_REQUEST)


@pytest.mark.parametrize("portrait_id", ["nonsense", "../../etc/passwd", "0" * 32])
def test_an_unknown_portrait_is_refused(server: Server, portrait_id: str) -> None:
    refused(pose(server, portrait_id), ProblemType.NO_SUCH_PORTRAIT)
    assert nothing_left(server)


def test_a_portrait_and_an_id_are_too_much(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    response = post(server, "images", {"portrait": portrait}, portrait_id=kept["id"], motion=YAW)
    assert refused(response, ProblemType.INVALID_REQUEST)["allowed"] == ["portrait", "portrait_id"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"GIF89a" + bytes(80), ProblemType.UNSUPPORTED_MEDIA), (b"\xff\xd8\xff", ProblemType.UNREADABLE_MEDIA)],
)
def test_a_bad_portrait_is_not_kept(server: Server, data: bytes, kind: ProblemType) -> None:
    refused(server.client.post("/v1/portraits", files={"portrait": data}), kind)
    assert nothing_left(server)
    assert server.client.get("/v1/portraits").json() == {"portraits": [], "next_cursor": None}


def test_portraits_are_their_owners_alone_and_counted(start: Start, portrait: bytes) -> None:
    server = start(max_portraits=2)
    file = KeyFile(server.context.settings.keys_path)
    mine, theirs = ({"Authorization": f"Bearer {file.make(owner)[0]}"} for owner in ("me", "them"))
    kept = upload(server, portrait, **mine)
    refused(server.client.get(kept["urls"]["self"], headers=theirs), ProblemType.NOT_FOUND)
    refused(server.client.get(kept["urls"]["file"], headers=theirs), ProblemType.NOT_FOUND)
    refused(server.client.delete(kept["urls"]["self"], headers=theirs), ProblemType.NOT_FOUND)
    refused(pose(server, kept["id"], **theirs), ProblemType.NO_SUCH_PORTRAIT)
    assert server.client.get("/v1/portraits", headers=theirs).json()["portraits"] == []
    upload(server, portrait, **mine)
    many = server.client.post("/v1/portraits", files={"portrait": portrait}, headers=mine)
    assert refused(many, ProblemType.TOO_MANY_REQUESTS)["allowed"] == 2
    upload(server, portrait, **theirs)


def test_a_portrait_expires_when_nobody_uses_it(start: Start, portrait: bytes) -> None:
    server = start(retention_s=60)
    kept = upload(server, portrait)
    folder = server.artifacts.path(f"{kept['id']}/x").parent
    assert folder.exists()
    server.context.redis.zincrby("pirenderer:portraits", -60, kept["id"])  # a minute passes
    until(lambda: not folder.exists(), "it does not expire")
    refused(server.client.get(kept["urls"]["self"]), ProblemType.NOT_FOUND)


def test_an_id_without_a_portrait_does_not_stay(server: Server, portrait: bytes) -> None:
    kept, redis = upload(server, portrait), server.context.redis
    redis.delete(f"pirenderer:portrait:{kept['id']}")
    redis.zadd("pirenderer:portraits", {kept["id"]: 0})
    assert server.context.portraits.expire_due() == [kept["id"]]
    assert server.context.portraits.expire_due() == []


def test_a_portrait_deleted_while_it_is_used_stays_deleted(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    server.client.delete(kept["urls"]["self"])
    using = server.context.portraits.using(kept["id"], OPEN_OWNER, retention_s=60)
    assert server.context.store.do(using) is None
    assert not server.context.redis.exists("pirenderer:portraits")


def test_the_sweep_leaves_portraits(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    folder = server.artifacts.path(f"{kept['id']}/x").parent
    hours_ago = time.time() - 2 * 3600
    os.utime(folder, (hours_ago, hours_ago))
    sweep(server.context)
    assert folder.exists()


def test_a_replayed_request_needs_its_portrait_no_more(server: Server, portrait: bytes) -> None:
    kept = upload(server, portrait)
    first = pose(server, kept["id"], **{"Idempotency-Key": "k"})
    server.client.delete(kept["urls"]["self"])
    again = pose(server, kept["id"], **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_several_motions_are_one_job(server: Server, portrait: bytes) -> None:
    motions = [{"controls": {"yaw": yaw}} for yaw in (-20, 0, 20)]
    job = post(server, "images", {"portrait": portrait}, motions=json.dumps(motions)).json()
    spec = server.claim(job["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert spec.motion is None
    assert spec.motions == [ControlsMotion(controls={"yaw": float(yaw)}) for yaw in (-20, 0, 20)]


@pytest.mark.parametrize(
    ("motions", "text"),
    [
        ("[]", "motions: List should have at least 1 item"),
        (json.dumps([{"controls": {}}] * 65), "at most 64 items"),
        ('[{"controls": {}}, {"controls": {"yaw": 90}}]', "motions.1.controls.yaw is 90; allowed is -45 to 45 degrees"),
        ('[{"controls": {"yaw": "far"}}]', "motions.0.controls.yaw: Input should be a valid number"),
        ('[{"controls": {}}, {}]', "motions.1: a motion holds exactly one of"),
        ('[{"space": "open478", "frames": [[0,0,0,0,0,0]]}]', "an image needs a motion of controls or coefficients"),
        ('{"controls": {}}', "motions: Input should be a valid array"),
    ],
)
def test_a_bad_list_of_motions_is_refused(server: Server, portrait: bytes, motions: str, text: str) -> None:
    problem = refused(post(server, "images", {"portrait": portrait}, motions=motions), ProblemType.INVALID_MOTION)
    assert text in problem["detail"]
    assert nothing_left(server)


def test_each_of_several_motions_counts_against_the_quota(start: Start, portrait: bytes) -> None:
    server = start(api_keys=FIRST, quota="3/day")
    headers = {"X-API-Key": FIRST}

    def batch(count: int) -> httpx.Response:
        data = {"motions": json.dumps([{"controls": {}}] * count)}
        return server.client.post("/v1/images", files={"portrait": portrait}, data=data, headers=headers)

    assert refused(batch(4), ProblemType.FORBIDDEN)["got"] == 4
    assert batch(2).status_code == 202
    refused(batch(2), ProblemType.TOO_MANY_REQUESTS)
    assert batch(1).status_code == 202
