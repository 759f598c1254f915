"""Live sessions from their first message to their last."""

import contextlib
import json
import time

import pytest

from jobs.live import CAMERA, SOUND, LiveOptions
from jobs.motions import ControlsMotion
from jobs.problems import Problem, ProblemType
from jobs.store import live as live_store
from jobs.store.names import Key
from service.live import session as live_session
from service.live.session import USES
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start
from tests.service.live.conftest import (
    JPEG,
    YAW,
    connected,
    keep,
    nothing_left,
    session,
    sessions,
    start_message,
    working,
)
from tests.service.live.test_handshakes import UPGRADE
from tests.service.running.test_server import leave
from tests.service.running.test_slow_clients import connected as raw
from tests.service.running.test_slow_clients import head
from tests.support.processes import PATIENCE_S, until


def test_a_portrait_is_moved(server: Server, portrait_id: str) -> None:
    with connected(server) as client:
        client.say(start_message(portrait_id, size=128, quality=50))
        assert client.hear()["type"] == "waiting"
        with working(server) as worker:
            assert server.queued_messages("live") != []
            record = server.context.portraits.get(portrait_id)
            assert record is not None
            assert worker.claim.spec.portrait == record.file
            assert worker.claim.spec.options == LiveOptions(size=128, quality=50)
            worker.start()
            assert client.hear() == {"type": "started", "session": worker.claim.session_id}
            client.say(YAW)
            state = worker.state()
            assert (state.motion, state.number) == (ControlsMotion(controls={"yaw": 10}), 1)
            worker.show()
            header, jpeg = client.see()
            assert (header["picture"], header["number"], header["at"], header["seen"]) == (1, None, 1.0, True)
            assert jpeg == JPEG
            motion = {"space": "open478", "coefficients": [0.5] * 6}
            client.say({"type": "motion", "motion": motion, "number": 2})
            assert worker.state().number == 2
            client.say({"type": "drive", "by": "sound", "options": {"seed": 7}})
            state = worker.state()
            assert (state.by, state.options.seed, state.number) == ("sound", 7, 2)
            client.say(SOUND + b"\0\1" * 160, SOUND + b"\0\2" * 160)
            heard = b""
            while len(heard) < 640:
                heard += b"".join(worker.end.read(10).sounds)
            assert heard == b"\0\1" * 160 + b"\0\2" * 160
            client.say({"type": "drive", "by": "camera"}, {"type": "recenter"})
            while (state := worker.state()).recentered < 1:
                pass
            assert (state.by, state.driven) == ("camera", 2)
            client.say(CAMERA + JPEG)
            assert worker.end.read(10).camera == JPEG
            client.say({"type": "end"})
            assert client.ended() == 1000
    nothing_left(server)


def test_a_worker_that_dies_is_replaced_by_one_that_goes_on(server: Server, portrait_id: str) -> None:
    with connected(server) as client:
        client.say(start_message(portrait_id))
        with working(server) as first:
            first.start()
            client.say(YAW)
            assert first.state().number == 1
        session_id = first.claim.session_id
        assert [client.hear()["type"] for _ in range(2)] == ["waiting", "started"]
        before = len(server.queued_messages("live"))
        told = client.hear()
        assert told["type"] == "waiting"
        assert "another" in told["detail"]
        until(lambda: len(server.queued_messages("live")) > before, "no worker is called")
        with working(server, session_id) as second:
            assert second.claim.take == 2
            state = second.state()
            assert (state.number, state.motion) == (1, ControlsMotion(controls={"yaw": 10}))
            second.start()
            assert client.hear()["type"] == "started"
            second.show()
            assert client.see()[1] == JPEG
    nothing_left(server)


def test_a_worker_that_was_missed_may_turn_up_again(
    server: Server, portrait_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(server, portrait_id) as (client, worker):
        worker.died.set()
        monkeypatch.setattr(live_session, "SILENT_S", 0.5)
        assert client.hear()["type"] == "waiting"
        worker.show()
        assert client.hear() == {"type": "started", "session": worker.claim.session_id}
        assert client.see()[1] == JPEG


def test_there_are_as_many_as_workers_leave_room_for(start: Start, portrait: bytes) -> None:
    server = start()
    workers = server.context.store.workers
    portrait_id = keep(server, portrait)
    for number in range(3):
        workers.beat(f"machine:{number}", {"state": "ready"})
    with session(server, portrait_id), connected(server) as second, connected(server) as third:
        second.say(start_message(portrait_id))
        assert second.hear()["type"] == "waiting"
        third.say(start_message(portrait_id))
        problem = third.refused(ProblemType.LIVE_UNAVAILABLE)
        assert (problem["got"], problem["allowed"]) == ({"workers": 3, "sessions": 2, "jobs": 0}, 2)
        assert third.ended() == 1008
        second.say({"type": "end"})
        assert second.ended() == 1000
        until(lambda: server.context.store.live.count() == 1, "its place is not free again")
        with connected(server) as fourth:
            fourth.say(start_message(portrait_id))
            assert fourth.hear()["type"] == "waiting"
    nothing_left(server)


def test_where_workers_are_started_as_they_are_wanted_sessions_wait_for_them(start: Start, portrait: bytes) -> None:
    """From no worker at all, and for longer than a client may be silent."""
    server = start(live_workers=3, live_waiting=2, live_idle_s=3, live_wait_s=PATIENCE_S)
    workers, portrait_id = server.context.store.workers, keep(server, portrait)
    assert workers.wanted() == 0
    assert server.client.get("/v1/live").json()["most"] == 3
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(4)]
        for number, client in enumerate(clients[:3], start=1):
            client.say(start_message(portrait_id))
            assert client.hear()["type"] == "waiting"
            assert workers.wanted() == number
        clients[3].say(start_message(portrait_id))
        assert clients[3].refused(ProblemType.LIVE_UNAVAILABLE)["allowed"] == 3
        time.sleep(4.5)
        assert workers.wanted() == 3
        ids = sessions(server)
        for number, each in enumerate(ids):
            workers.beat(f"machine:{number}", {"state": "ready"})
            with working(server, each) as worker:
                worker.start()
                assert worker.claim.session_id == each
        for client in clients[:3]:
            assert client.hear()["type"] == "started"
            client.say({"type": "end"})
            assert client.ended() == 1000
    nothing_left(server)
    assert workers.wanted() == 0


def test_an_owner_has_a_share(start: Start, portrait: bytes) -> None:
    server = start(api_keys=BOTH, live_workers=3, live_share=1)
    for number in range(3):
        server.context.store.workers.beat(f"machine:{number}", {"state": "ready"})
    mine = keep(server, portrait, **{"X-API-Key": FIRST})
    with (
        session(server, mine, key=FIRST),
        connected(server, key=FIRST) as second,
        connected(server, key=SECOND) as other,
    ):
        second.say(start_message(mine))
        assert second.refused(ProblemType.TOO_MANY_REQUESTS)["allowed"] == 1
        assert second.ended() == 1008
        other.say(start_message(mine))
        other.refused(ProblemType.NO_SUCH_PORTRAIT)  # another's portrait
    nothing_left(server)


def test_a_session_is_a_job_of_the_quota(start: Start, portrait: bytes) -> None:
    server = start(api_keys=FIRST, quota="1/hour")
    portrait_id = keep(server, portrait, **{"X-API-Key": FIRST})
    with session(server, portrait_id, key=FIRST) as (client, _):
        client.say({"type": "end"})
        assert client.ended() == 1000
    with connected(server, key=FIRST) as client:
        client.say(start_message(portrait_id))
        assert "jobs" in client.refused(ProblemType.TOO_MANY_REQUESTS)["allowed"]
        assert client.ended() == 1008
    nothing_left(server)


def test_a_worker_is_waited_for_so_long(start: Start, portrait: bytes) -> None:
    server = start(live_wait_s=0.5)
    with connected(server) as client:
        client.say(start_message(keep(server, portrait)))
        assert client.hear()["type"] == "waiting"
        problem = client.refused(ProblemType.LIVE_UNAVAILABLE)
        assert problem["got"] == {"workers": 0, "sessions": 1, "jobs": 0}
        assert client.ended() == 1008
    nothing_left(server)


def test_a_worker_may_give_it_back(server: Server, portrait_id: str) -> None:
    """As one does that is told to stop."""
    with session(server, portrait_id) as (client, first):
        first.died.set()
        server.context.store.live.leave(first.claim)
        assert client.hear()["type"] == "waiting"
        with working(server, first.claim.session_id) as second:
            second.start()
            assert client.hear()["type"] == "started"


def test_one_of_which_workers_die_is_given_up(
    server: Server, portrait_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(server, portrait_id) as (client, worker):
        worker.died.set()
        for module in (live_store, live_session):
            monkeypatch.setattr(module, "SILENT_S", 1.0)
        for _ in range(2):
            assert client.hear()["type"] == "waiting"
            with working(server, worker.claim.session_id) as another:
                another.start()
                assert client.hear()["type"] == "started"
        assert "3 workers died" in client.refused(ProblemType.WORKER_LOST)["detail"]
        assert client.ended() == 1008
    nothing_left(server)


def test_a_worker_may_end_it(server: Server, portrait_id: str) -> None:
    with session(server, portrait_id) as (client, worker):
        told = {"type": "waiting", "detail": "its worker does a job first"}
        worker.end.tell(json.dumps(told))
        problem = Problem.of(ProblemType.UNREADABLE_MEDIA, "it is no JPEG").model_dump(exclude_none=True)
        worker.end.tell(json.dumps({"type": "problem", "problem": problem}))
        assert client.hear() == told
        assert client.refused(ProblemType.UNREADABLE_MEDIA)["detail"] == "it is no JPEG"
        problem = Problem.of(ProblemType.NO_FACE, "no face was found").model_dump(exclude_none=True)
        worker.end.tell(json.dumps({"type": "problem", "problem": problem}), ends=True)
        client.refused(ProblemType.NO_FACE)
        assert client.ended() == 1008
    nothing_left(server)


def test_who_says_nothing_is_ended(start: Start, portrait: bytes) -> None:
    with connected(start(header_timeout_s=0.5)) as client:
        client.refused(ProblemType.TOO_SLOW)
        assert client.ended() == 1008
    server = start(live_idle_s=3)
    with session(server, keep(server, portrait)) as (client, worker):
        time.sleep(1)
        last = time.monotonic()
        client.say(YAW)
        worker.state()
        client.refused(ProblemType.TOO_SLOW)
        assert time.monotonic() - last >= 3  # it counts from the last message
        assert client.ended() == 1008
    nothing_left(server)


def test_a_portrait_is_kept_while_it_is_moved(start: Start, portrait: bytes) -> None:
    server = start(retention_s=2 * USES)
    portrait_id = keep(server, portrait)

    def due() -> float:
        return float(str(server.context.redis.zscore(Key.PORTRAITS, portrait_id)))

    with session(server, portrait_id) as (client, worker):
        for _ in range(2):
            before = due()
            client.say(YAW)
            worker.state()
            until(lambda before=before: due() > before, "it goes when its time has come")  # type: ignore[misc]
    server.context.redis.zadd(Key.PORTRAITS, {portrait_id: 0})
    until(lambda: server.client.get(f"/v1/portraits/{portrait_id}").status_code == 404, "it is kept for good")


def test_clients_are_sent_to_the_next_when_the_front_end_stops(start: Start, portrait: bytes) -> None:
    server = start()
    with connected(server) as waiting, session(server, keep(server, portrait)) as (client, _):
        server.front_end.should_exit = True
        assert client.ended() == 1001
        assert waiting.ended() == 1001
    nothing_left(server)


def test_one_that_arrives_when_the_front_end_stops_is_sent_on(start: Start) -> None:
    """On a connection that was open before."""
    server = start()
    with raw(server) as line:
        server.client.get("/healthz")  # by then it was taken
        leave(server)
        line.sendall(head("GET", "/v1/live", **UPGRADE) + b"\r\n")
        with line.makefile("rb") as answer:
            text = answer.read()
    assert text.startswith(b"HTTP/1.1 101 ")
    assert text.endswith(b"\x88\x02" + (1001).to_bytes(2, "big"))


def test_a_session_that_was_lost_ends(server: Server, portrait_id: str) -> None:
    """As when Redis was away for longer than its lease."""
    with session(server, portrait_id) as (client, worker):
        server.context.store.live.close(worker.claim.session_id)
        client.refused(ProblemType.UNAVAILABLE)
        assert client.ended() == 1011
    nothing_left(server)


def test_sessions_and_their_pictures_are_counted(server: Server, portrait_id: str) -> None:
    def figures() -> dict[str, float]:
        lines = server.client.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, value in (line.split(" ") for line in lines if "pirenderer_live_" in line and "#" not in line)
        }

    with session(server, portrait_id) as (_, worker):
        assert server.context.store.live.beat(worker.claim, worker="w", pictures=5)
        assert figures() == {
            "pirenderer_live_sessions_held": 1, "pirenderer_live_sessions_total": 1, "pirenderer_live_pictures_total": 5
        }  # fmt: skip
    nothing_left(server)
    assert figures()["pirenderer_live_sessions_held"] == 0
