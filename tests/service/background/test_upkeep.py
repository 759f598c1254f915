"""What housekeeping mends and sweeps."""

import os
import time

from jobs.files.keys import new_id
from jobs.messages import queue_key
from jobs.schemas import JobKind
from service.background.upkeep import sweep, tidy
from tests.service.conftest import Server, Start
from tests.service.routes.test_create import YAW
from tests.support.processes import until


def create(server: Server, portrait: bytes) -> str:
    response = server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": YAW})
    return str(response.json()["id"])


def test_a_lost_message_is_sent_again(start: Start, portrait: bytes) -> None:
    server = start(housekeeping_s=60, resend_after_s=1e-6)
    lost = create(server, portrait)
    server.context.redis.delete(queue_key(JobKind.IMAGE))
    kept = create(server, portrait)
    tidy(server.context)
    assert server.queued_messages("images") == [kept, lost]
    tidy(server.context)
    assert server.queued_messages("images") == [kept, lost]


def test_only_old_folders_without_a_job_are_swept(server: Server, portrait: bytes) -> None:
    job_id, orphan, uploading = create(server, portrait), new_id(), new_id()
    artifacts = server.artifacts
    folders = {each: artifacts.path(f"{each}/x").parent for each in (job_id, orphan, uploading)}
    for each in (orphan, uploading):
        artifacts.create_folder(each)
        artifacts.put(each, "portrait.jpg", [b"x"])
    hours_ago = time.time() - 2 * 3600
    stranger = folders[orphan].with_name("notes")
    stranger.mkdir()
    for folder in (folders[job_id], folders[orphan], stranger):
        os.utime(folder, (hours_ago, hours_ago))
    sweep(server.context)
    assert {each: folder.exists() for each, folder in folders.items()} == {job_id: True, orphan: False, uploading: True}
    assert stranger.exists()


def test_files_outlive_a_redis_that_was_not_restored(server: Server, portrait: bytes) -> None:
    folder = server.artifacts.path(f"{create(server, portrait)}/x").parent
    hours_ago = time.time() - 2 * 3600
    os.utime(folder, (hours_ago, hours_ago))
    server.context.redis.flushdb()
    sweep(server.context)
    assert folder.exists()
    create(server, portrait)  # from now on this Redis is the one that counts
    sweep(server.context)
    assert not folder.exists()


def test_housekeeping_outlives_its_faults(start: Start, portrait: bytes) -> None:
    server = start(resend_after_s=1e-6)
    server.context.redis.rpush(queue_key(JobKind.IMAGE), "no message")  # what this server cannot read
    time.sleep(0.3)
    lost = create(server, portrait)
    server.context.redis.delete(queue_key(JobKind.IMAGE))
    until(lambda: server.queued_messages("images") == [lost], "it is not sent again")
