"""Live sessions in Redis: who has one, which worker renders it, and whether both ends still live.

A session is its front-end's, which vouches for it every second; where it does not, the session has ended. The worker
that took it beats likewise: one that is not heard of has lost it, and the front-end calls for another. What they say
to each other is in jobs/store/live_streams.py.
"""

from dataclasses import dataclass
from typing import cast

from jobs.live import LiveSpec
from jobs.store.names import Key
from jobs.store.scripts import JobStoreError, Script, Scripts

LEASE_S = 10.0  # in which a front-end has to vouch for its session again
KEPT_S = 60  # for which what is known of one is kept that nobody vouches for
SILENT_S = 3.0  # after which a worker has lost it
VOUCH_S, BEAT_S = 1.0, 0.75
STOPPING_S = 3600  # how long it is known that a worker was told to stop

STREAMS = (":state", ":sound", ":camera", ":pictures", ":told")
PARTS = ("", *STREAMS)  # what there is of a session behind its key

# spec (JSON), owner, traceparent (if it is traced), most and share (of sessions), lease_s -> 'full', 'share' or 'ok'
OPEN_SESSION = Script("""
local at, own = now(), 0
redis.call('ZREMRANGEBYSCORE', LIVE, '-inf', at)
local others = redis.call('ZRANGE', LIVE, 0, -1)
for _, each in ipairs(others) do
  lives(each)
  if redis.call('HGET', LIVE_SESSION .. each, 'owner') == a.owner then own = own + 1 end
end
if #others >= a.most then return 'full' end
if own >= a.share then return 'share' end
redis.call('HSET', session, 'owner', a.owner, 'spec', a.spec, 'traceparent', a.traceparent or '')
redis.call('EXPIRE', session, a.kept_s)
redis.call('ZADD', LIVE, at + a.lease_s, id)
live_count('sessions', 1)
return 'ok'
""")

# lease_s, kept_s, parts -> seconds since its worker was heard of; -1 where it has none, nothing where it has ended
VOUCH = Script("""
if not lives(id) then return nil end
redis.call('ZADD', LIVE, now() + a.lease_s, id)
for _, part in ipairs(a.parts) do redis.call('EXPIRE', session .. part, a.kept_s) end
return tostring(silent_s() or -1)
""")

# parts
CLOSE = Script("""
redis.call('ZREM', LIVE, id)
for _, part in ipairs(a.parts) do redis.call('DEL', session .. part) end
""")

# holder, silent_s, lease_s -> its specification, which take this is, and its traceparent or ''; nothing where it has
# ended or is another's
TAKE = Script("""
if not lives(id) or redis.call('EXISTS', session) == 0 then return nil end
local silent = silent_s()
if silent and silent < a.silent_s then return nil end
redis.call('HSET', session, 'heard_at', now(), 'holder', a.holder)
local takes = redis.call('HINCRBY', session, 'takes', 1)
return {redis.call('HGET', session, 'spec'), takes, redis.call('HGET', session, 'traceparent') or ''}
""")

# take, pictures (since the last beat), worker (of which the holder is a process), lease_s -> 0 where it is to be left
BEAT_SESSION = Script("""
if a.pictures > 0 then live_count('pictures', a.pictures) end
if not mine() or not lives(id) then return 0 end
redis.call('HSET', session, 'heard_at', now())
return redis.call('EXISTS', STOPPING .. a.worker) == 1 and 0 or 1
""")

# take
LEAVE = Script("if mine() then redis.call('HDEL', session, 'heard_at', 'holder') end")


class LiveFullError(JobStoreError):
    """There are as many sessions as may be: the owner's, or everybody's."""

    def __init__(self, most: int, *, own: bool) -> None:
        super().__init__(most)
        self.most = most
        self.own = own


@dataclass(frozen=True)
class LiveClaim:
    """A worker's hold on a session: the `take`-th."""

    session_id: str
    spec: LiveSpec
    take: int
    traceparent: str | None = None


class LiveSessions:
    """The sessions there are. Synchronous, and safe to share between threads."""

    def __init__(self, scripts: Scripts) -> None:
        self._run = scripts.run
        self._redis = scripts.redis
        self._now = scripts.now

    def open(self, session_id: str, spec: LiveSpec, *, most: int, share: int, traceparent: str | None = None) -> None:
        """Begin a session, of which there may be `most` at once, and `share` of one owner. Raises LiveFullError."""
        text = spec.model_dump_json()
        given = {"most": most, "share": share, "lease_s": LEASE_S, "kept_s": KEPT_S}
        match self._run(OPEN_SESSION, session_id, owner=spec.owner, spec=text, traceparent=traceparent, **given):
            case "full":
                raise LiveFullError(most, own=False)
            case "share":
                raise LiveFullError(share, own=True)

    def vouch(self, session_id: str) -> float | None:
        """Say that the session's client is there; how long nothing was heard of its worker, in seconds.

        Infinity where it has none. None where the session has ended, since nobody vouched for it in time.
        """
        answer = cast("str | None", self._run(VOUCH, session_id, lease_s=LEASE_S, kept_s=KEPT_S, parts=PARTS))
        if answer is None:
            return None
        return float(answer) if float(answer) >= 0 else float("inf")

    def close(self, session_id: str) -> None:
        """End a session. Its worker learns of it at its next beat."""
        self._run(CLOSE, session_id, parts=PARTS)

    def count(self) -> int:
        """How many there are."""
        return self._redis.zcount(Key.LIVE, self._now(), "+inf")

    def totals(self) -> dict[str, int]:
        """How many `sessions` there have been, and how many `pictures` were made for them."""
        counts = cast("dict[str, str]", self._redis.hgetall(Key.LIVE_COUNTS))
        return {name: int(counts.get(name, 0)) for name in ("sessions", "pictures")}

    def take(self, session_id: str, holder: str) -> LiveClaim | None:
        """Take a session that no worker has; None where there is none to take."""
        answer = self._run(TAKE, session_id, holder=holder, silent_s=SILENT_S, lease_s=LEASE_S)
        if answer is None:
            return None
        text, take, traceparent = cast("tuple[str, int, str]", answer)
        return LiveClaim(session_id, LiveSpec.model_validate_json(text), take, traceparent or None)

    def beat(self, claim: LiveClaim, *, worker: str, pictures: int) -> bool:
        """Say that its worker lives and made so many pictures; whether it is to go on with the session.

        It is not where the session has ended, is another's, or `worker` was told to stop.
        """
        goes_on = self._run(
            BEAT_SESSION, claim.session_id, take=claim.take, worker=worker, pictures=pictures, lease_s=LEASE_S
        )
        return bool(goes_on)

    def leave(self, claim: LiveClaim) -> None:
        """Give a session back, for another worker to take."""
        self._run(LEAVE, claim.session_id, take=claim.take)

    def stop(self, worker: str) -> None:
        """Let `worker` leave what session it has: it ends when its work is done, and a session's has no end."""
        self._redis.set(Key.STOPPING + worker, 1, ex=STOPPING_S)
