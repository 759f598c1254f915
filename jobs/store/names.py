"""Names in Redis: of keys, and of what scripts in Lua and Python both say.

A job's hash has these fields. Times are seconds since 1970 by Redis' clock. They are written by scripts, in capitals,
and by functions of the scripts' prelude.

    field               written by                              meaning
    id, kind, owner     CREATE                                  of the job, for good
    number              CREATE                                  counts up over jobs and portraits: the order of lists
    created_at          CREATE                                  when it was made
    request_id          CREATE                                  the request that made it, for logs
    traceparent         CREATE                                  the span that made it, where requests are traced
    base_url            CREATE                                  what addresses began with that the request was told
    retention           CREATE                                  seconds for which it is kept after its end
    canceled_retention  CREATE                                  the same where it was canceled
    deadline_s          CREATE                                  so long after its making it is to have begun, in seconds
    deadline            CREATE                                  the same as a time
    late                CREATE                                  the problem that it fails with when that is past
    webhook             CREATE                                  whom to tell of it: jobs.webhooks.Webhook
    metadata            CREATE                                  what its maker noted with it: jobs.schemas.Metadata
    kept:WHAT           hold, release                           bytes counted as its owner's: files, records
    status              CREATE, CLAIM, requeue, finish, EXPIRE  jobs.schemas.JobStatus
    queued_at           CREATE, RESEND, requeue, go_on, reopen  when a message for it was last due
    place               enqueue, go_on                          in its queue; it comes back there when it is given back
    deliveries          CREATE, delivered                       how often it was claimed and not given back
    claimed_at          CLAIM, requeue, BREAK_LOCK              when it was claimed last; gone while nobody has it
    started_at          CLAIM                                   when it was claimed first
    began:              CLAIM                                   number and time of its last attempt, if it is traced
    progress            RENEW, report_rendered, CLAIM, requeue  jobs.schemas.Progress of this attempt
    stages              TIMINGS, CLAIM                          names of its stages in order, one a line
    timing:STAGE        TIMINGS, CLAIM                          seconds spent in a stage of this attempt
    cancel              CANCEL                                  1 when it is to be canceled
    result, result_key  FINISH                                  jobs.schemas.Result, and the key of its file
    error               FINISH, CLAIM, ABANDON, late            jobs.problems.Problem
    finished_at         finish                                  when it ended
    expires_at          finish                                  when its files go
    opened              BEGIN, OPEN_SEGMENT, FINISH             how many segments are planned; there once it is cut
    frames              BEGIN, PLANNED, FINISH                  how many its video has, as soon as that is known
    planned             PLANNED, FINISH                         1 when all of its segments are planned
    plan                BEGIN, FINISH                           what its segments share: jobs.store.records.Shared
    found               PLANNED                                 what its plan found: jobs.store.records.Found
    most_workers        BEGIN                                   how many may work on it at once, if bounded
    weights             BEGIN                                   by which it is planned, as its worker tells
    playable            BEGIN, DONE, FINISH                     how many segments are done, from the first on
    worked              rest                                    seconds that workers have spent on its parts
    webhook_status      NOTE                                    how telling of its end ended; not there before
    webhook_attempts    CLAIM, NOTE                             how often that was tried
    webhook_log         NOTE                                    its attempts: jobs.webhooks.WebhookAttempt, one a line

Of the message of its start, if one is wanted, status and attempts stand in fields with :started behind their names.

A video is cut into parts, each of which is claimed by itself: its plan, which is the job itself and has the name "",
its segments by their numbers, and at last "join". A hash of its segments has

    plan:N              OPEN_SEGMENT                            key of the file with the plan of segment N
    file:N              DONE, FINISH                            key of its fragment
    frames:N            DONE, FINISH                            how many frames that has
    bytes:N             DONE                                    how many bytes
    weights:N           DONE, BEGIN, join_if_done               by which it was made, as its worker tells
    at:N                RENEW, leave_part                       frames of it that are rendered so far
    began:PART          CLAIM                                   as began: of the job, of this part
    worked_since:PART   BEGIN, CLAIM, TAKE_UP, rest             since when its holder works on a part
    deliveries:PART     delivered, BEGIN, join_if_done          how often a part was claimed and not given back
    rendered, bytes     DONE, FINISH, BEGIN, join_if_done       frames and bytes of all fragments
"""

from enum import StrEnum

from jobs.schemas import JobStatus
from jobs.webhooks import WebhookEvent

PREFIX = "pirenderer:"  # of every key: other applications may use the same Redis
TIMING_PREFIX = "timing:"  # of the fields with the seconds spent in stages
SPEC, LOCK, EVENTS = ":spec", ":lock", ":events"  # of a job, after its key
SEGMENTS, OPEN, TAKEN = ":segments", ":open", ":taken"  # the same of a video that is cut
JOIN = "join"  # the part that makes one file of all fragments
STARTED = ":started"  # after a job's id: the message that tells of its start; the id alone is that of its end

# Beginnings of keys that scripts do not know
MESSAGES = PREFIX + "celery:"  # all that Celery makes, its queues among them
RATES = PREFIX + "rate:"  # WHAT:WHOM: hash, see jobs/store/rates.py
IDEMPOTENCY = PREFIX + "idempotency:"  # OWNER and key: what a request led to


class Key(StrEnum):
    """Keys, and beginnings of keys: those that end in a colon. Scripts have them by the same names."""

    # ID: hash, as above; with SPEC its specification, EVENTS a stream, LOCK its holder (of a part with :PART behind);
    # with SEGMENTS a hash, OPEN a sorted set of the parts that nobody has taken, TAKEN a set of those that somebody has
    JOB = PREFIX + "job:"
    NUMBER = PREFIX + "number"  # the last that was given to a job or portrait
    OWNER = PREFIX + "owner:"  # OWNER: sorted set of their jobs by number
    QUEUE = PREFIX + "queue:"  # KIND: sorted set of the jobs that wait, by place
    GOING = PREFIX + "going:"  # KIND: sorted set of videos that have begun and of which parts wait, by place
    TURNS = PREFIX + "turns:"  # KIND:OWNER: sorted set of their jobs in the two sets above by number
    WAITING = PREFIX + "waiting:"  # KIND: hash, how many jobs of each owner wait
    VIRTUAL = PREFIX + "virtual:"  # KIND: the queue's virtual time, see jobs/store/scripts.py
    ENDS = PREFIX + "ends:"  # KIND: sorted set of owners by the end of their last job in virtual time
    RUNNING_JOBS = PREFIX + "running"  # sorted set by start, but for
    CUT_JOBS = PREFIX + "cut"  # the same of videos that are cut into parts
    UNTIDY = PREFIX + "untidy"  # the same of those that have ended and whose files are to be looked through
    DEADLINES = PREFIX + "deadlines"  # sorted set of jobs that have not begun, by time
    TOKEN = PREFIX + "token:"  # ID of a message: the job that it was used for
    EXPIRING = PREFIX + "expiring"  # sorted set of jobs that have ended, by the time they are due
    TOMBSTONES = PREFIX + "tombstones"  # the same of jobs that have expired
    OWNER_TOMBSTONES = PREFIX + "tombstones:"  # OWNER: sorted set of theirs by number
    KEPT = PREFIX + "kept:"  # WHAT: hash, the bytes that each owner keeps, of `files` and of `records`
    METRICS = PREFIX + "metrics"  # hash, see jobs/store/counters.py
    LOST = PREFIX + "lost"  # hash, how often a job or a part of one was lost with its worker, by kind
    MIXED = PREFIX + "mixed"  # hash, how many videos had segments by several weights, by what became of these
    PACE = PREFIX + "pace"  # hash, seconds that jobs of each kind take of late
    WORKERS = PREFIX + "workers"  # sorted set by their last sign
    WORKER = PREFIX + "worker:"  # NAME: hash, what it said of itself
    LIVE = PREFIX + "live"  # sorted set of live sessions by the time until which their front-ends vouch for them
    # ID: hash of owner, specification, traceparent, holder, when that was heard of, and how often it was taken; with
    # :state, :sound, :camera, :pictures and :told behind, streams of what both ends say, see jobs/store/live_streams.py
    LIVE_SESSION = PREFIX + "live:"
    LIVE_COUNTS = PREFIX + "live_counts"  # hash, sessions and pictures that there have been
    STOPPING = PREFIX + "stopping:"  # WORKER: there while one that was told to stop may have a live session
    WEBHOOKS = PREFIX + "webhooks"  # sorted set of webhooks' messages, by when they are to be looked at
    WEBHOOKS_DUE = PREFIX + "webhooks:due:"  # OWNER: list of messages whose time has come
    WEBHOOKS_OWNERS = PREFIX + "webhooks:owners"  # sorted set of owners with such a list, by when they were served last
    DELIVERIES = PREFIX + "webhooks:deliveries:"  # OWNER: sorted set of their last attempts (WebhookDelivery) by time
    PORTRAIT = PREFIX + "portrait:"  # ID: what is known of a portrait, as JSON
    PORTRAITS = PREFIX + "portraits"  # sorted set by the time they are due
    OWNER_PORTRAITS = PREFIX + "portraits:"  # OWNER: sorted set of theirs by number


class Mixed(StrEnum):
    """What becomes of a video's segments that are by several weights."""

    AGAIN = "rendered-again"  # those that are by others than all workers have by now
    LEFT = "left"  # workers live that have others: what is rendered again could be mixed again


LUA = "".join(
    f"local {name} = '{value}'\n"
    for name, value in {
        **{status.name: status.value for status in JobStatus},
        **{key.name: key.value for key in Key},
        **{"TIMING_PREFIX": TIMING_PREFIX, "SPEC": SPEC, "LOCK": LOCK, "EVENTS": EVENTS},
        **{"SEGMENTS": SEGMENTS, "OPEN": OPEN, "TAKEN": TAKEN, "JOIN": JOIN},
        **{f"MIXED_{each.name}": each.value for each in Mixed},
        **{"STARTED": STARTED, "JOB_STARTED": WebhookEvent.STARTED.value},
    }.items()
)
"""The names as Lua's constants."""


def lock_key(job_id: str, part: str = "") -> str:
    """Of the lock of a job, or of a part of it."""
    return Key.JOB + job_id + LOCK + (f":{part}" if part else "")


def segments_key(job_id: str) -> str:
    """Of a video's segments."""
    return Key.JOB + job_id + SEGMENTS


def events_key(job_id: str) -> str:
    """Of a job's events."""
    return Key.JOB + job_id + EVENTS
