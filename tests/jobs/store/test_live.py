"""Live sessions in Redis: who may begin one, who holds it, and what both ends say to each other."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import redis

from jobs.live import MAX_SOUND_BYTES, LiveOptions, LiveSpec, LiveState, PictureHeader
from jobs.motions import ControlsMotion
from jobs.schemas import InputFile
from jobs.store import live as live_module
from jobs.store.jobs import JobStore
from jobs.store.live import LiveClaim, LiveFullError
from jobs.store.live_streams import LiveEnd, LiveLine, LivePicture, LiveTold
from jobs.store.names import Key
from tests.support.processes import until

FILE = InputFile(key="p/portrait", media_type="image/jpeg", bytes=3, sha256="0" * 64)


def spec(owner: str = "me") -> LiveSpec:
    return LiveSpec(owner=owner, portrait=FILE, options=LiveOptions(size=256))


@pytest.fixture
def claim(store: JobStore) -> LiveClaim:
    store.live.open("one", spec(), most=2, share=2)
    claim = store.live.take("one", "machine:1")
    assert claim is not None
    return claim


def beats(store: JobStore, claim: LiveClaim, pictures: int = 0) -> bool:
    return store.live.beat(claim, worker="machine:0", pictures=pictures)


def test_there_are_as_many_as_may_be_and_an_owner_has_a_share(store: JobStore) -> None:
    store.live.open("one", spec("a"), most=2, share=1)
    with pytest.raises(LiveFullError) as own:
        store.live.open("two", spec("a"), most=2, share=1)
    assert (own.value.own, own.value.most) == (True, 1)
    store.live.open("two", spec("b"), most=2, share=1)
    with pytest.raises(LiveFullError) as full:
        store.live.open("three", spec("c"), most=2, share=1)
    assert (full.value.own, full.value.most) == (False, 2)
    store.live.close("one")
    store.live.open("three", spec("c"), most=2, share=1)
    assert store.live.count() == 2
    assert store.live.totals() == {"sessions": 3, "pictures": 0}


def test_one_worker_has_it_until_it_leaves(store: JobStore, claim: LiveClaim) -> None:
    assert claim.spec == spec()
    assert store.live.take("one", "machine:2") is None
    assert (silent := store.live.vouch("one")) is not None
    assert silent < live_module.SILENT_S
    assert beats(store, claim, pictures=3)
    store.live.leave(claim)
    assert store.live.vouch("one") == float("inf")
    second = store.live.take("one", "machine:2")
    assert second is not None
    assert (second.take, second.spec) == (2, claim.spec)
    assert not beats(store, claim)  # it is not the first one's any more
    store.live.leave(claim)  # nor is it its to be left
    assert beats(store, second)
    assert store.live.totals()["pictures"] == 3


def test_a_silent_worker_loses_it(store: JobStore, claim: LiveClaim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "SILENT_S", 0.05)
    time.sleep(0.06)
    second = store.live.take("one", "machine:2")
    assert second is not None
    assert not beats(store, claim)


def test_it_ends_when_nobody_vouches_for_it(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LEASE_S", 0.05)
    store.live.open("one", spec(), most=1, share=1)
    claim = store.live.take("one", "machine:1")
    assert claim is not None
    until(lambda: store.live.count() == 0, "it does not end")
    assert not beats(store, claim)
    assert store.live.take("one", "machine:2") is None
    assert store.live.vouch("one") is None
    store.live.open("two", spec(), most=1, share=1)  # it takes nobody's place


def test_a_worker_that_was_told_to_stop_leaves_it(store: JobStore, claim: LiveClaim) -> None:
    store.live.stop("machine:5")
    assert beats(store, claim)
    store.live.stop("machine:0")
    assert not beats(store, claim)


def test_nothing_is_left_of_one_that_was_closed(
    store: JobStore, claim: LiveClaim, end: LiveEnd, redis_url: str
) -> None:
    async def say(line: LiveLine) -> None:
        await line.set_state("one", LiveState())
        await line.hear("one", b"\1\0")
        await line.look("one", b"jpeg")

    def show() -> None:
        end.show(PictureHeader(picture=1, number=None, at=0, seen=True), b"jpeg")
        end.tell("{}")

    talk(redis_url, say)
    show()
    store.live.close("one")
    assert not beats(store, claim)
    talk(redis_url, say)  # whoever has not heard of it yet writes nothing
    show()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert list(client.scan_iter(f"{Key.LIVE_SESSION}*")) == []


def test_the_newest_of_each_and_all_of_the_sound_comes(claim: LiveClaim, end: LiveEnd, redis_url: str) -> None:
    motion = ControlsMotion(controls={"yaw": 3.0})

    async def say(line: LiveLine) -> None:
        for number in range(5):
            await line.set_state("one", LiveState(motion=motion, number=number))
            await line.hear("one", bytes([number]))
            await line.look("one", b"jpeg %d" % number)

    talk(redis_url, say)
    news = end.read(1)
    assert news.state == LiveState(motion=motion, number=4)
    assert news.sounds == tuple(bytes([number]) for number in range(5))
    assert news.camera == b"jpeg 4"
    assert not end.read(0.01)


def test_of_sound_that_comes_too_fast_the_last_seconds_are_taken(
    claim: LiveClaim, end: LiveEnd, redis_url: str
) -> None:
    """Else minutes of it would be waiting for those who listen, and so would all else that is said."""

    async def flood(line: LiveLine) -> None:
        for number in range(50):
            await line.hear("one", bytes([number]) * MAX_SOUND_BYTES)

    talk(redis_url, flood)
    assert [each[0] for each in end.read(1).sounds] == [49]
    assert not end.read(0.01)


def test_who_takes_it_over_begins_with_the_state_and_with_what_comes_then(
    store: JobStore, claim: LiveClaim, redis_url: str
) -> None:
    async def say(line: LiveLine) -> None:
        await line.set_state("one", LiveState(number=7))
        await line.hear("one", b"\1\0")

    talk(redis_url, say)
    store.live.leave(claim)
    second = store.live.take("one", "machine:2")
    assert second is not None
    end = LiveEnd(redis_url, second)
    try:
        news = end.read(1)
        assert (news.state, news.sounds) == (LiveState(number=7), ())
        talk(redis_url, lambda line: line.hear("one", b"\2\0"))
        assert end.read(1).sounds == (b"\2\0",)
    finally:
        end.close()


def test_who_has_lost_it_says_nothing_in_it(
    store: JobStore, claim: LiveClaim, end: LiveEnd, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SILENT_S", 0.0)
    second = store.live.take("one", "machine:2")
    assert second is not None
    with contextlib.closing(LiveEnd(redis_url, second)) as its:
        its.show(PictureHeader(picture=1, number=None, at=0, seen=True), b"new")
        end.show(PictureHeader(picture=2, number=None, at=0, seen=True), b"old")
        end.tell("{}", ends=True)

    async def follow(line: LiveLine) -> None:
        (heard,) = [each async for each in until_quiet(line)]
        assert isinstance(heard, LivePicture)
        assert heard.jpeg == b"new"

    talk(redis_url, follow)


def test_the_client_sees_the_newest_picture_and_is_told_all(claim: LiveClaim, end: LiveEnd, redis_url: str) -> None:
    for picture in range(3):
        end.show(PictureHeader(picture=picture, number=None, at=0.5, seen=True), b"jpeg %d" % picture)
        end.tell(f"message {picture}", ends=picture == 2)

    async def follow(line: LiveLine) -> None:
        assert [each async for each in until_quiet(line)] == [
            *(LiveTold(f"message {number}", ends=number == 2) for number in range(3)),
            LivePicture('{"picture":2,"number":null,"at":0.5,"seen":true}', b"jpeg 2"),
        ]

    talk(redis_url, follow)


@pytest.fixture
def end(claim: LiveClaim, redis_url: str) -> Iterator[LiveEnd]:
    end = LiveEnd(redis_url, claim)
    yield end
    end.close()


async def until_quiet(line: LiveLine) -> AsyncIterator[LivePicture | LiveTold]:
    """What comes until nothing does for a second."""
    async for each in line.follow("one"):
        if each is None:
            break
        yield each


def talk(redis_url: str, what: Callable[[LiveLine], Awaitable[None]]) -> None:
    async def run() -> None:
        line = LiveLine.connect(redis_url, most=1)
        try:
            await what(line)
        finally:
            await line.close()

    asyncio.run(run())
