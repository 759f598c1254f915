"""Live sessions from their first message to their last."""

from jobs.live import CAMERA, SOUND, LiveOptions
from jobs.motions import ControlsMotion
from tests.service.conftest import Server
from tests.service.live.conftest import (
    JPEG,
    YAW,
    connected,
    nothing_left,
    start_message,
    working,
)
from tests.support.processes import until


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
        until(lambda: len(server.queued_messages("live")) > before, 5, "no worker is called")
        with working(server, session_id) as second:
            assert second.claim.take == 2
            state = second.state()
            assert (state.number, state.motion) == (1, ControlsMotion(controls={"yaw": 10}))
            second.start()
            assert client.hear()["type"] == "started"
            second.show()
            assert client.see()[1] == JPEG
    nothing_left(server)
