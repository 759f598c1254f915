"""Names in Redis: of keys, and of what scripts in Lua and Python both say.

A job's hash has these fields. Times are seconds since 1970 by Redis' clock. They are written by scripts, in capitals,
and by functions of the scripts' prelude.

    field               written by                              meaning
    id, kind, owner     CREATE                                  of the job, for good
    number              CREATE                                  counts up over jobs and portraits: the order of lists
    created_at          CREATE                                  when it was made
    request_id          CREATE                                  the request that made it, for logs
    retention           CREATE                                  seconds for which it is kept after its end
    canceled_retention  CREATE                                  the same where it was canceled
    deadline_s          CREATE                                  so long after its making it is to have begun, in seconds
    deadline            CREATE                                  the same as a time
    late                CREATE                                  the problem that it fails with when that is past
    webhook             CREATE                                  whom to tell of its end: jobs.schemas.Webhook
    kept:WHAT           hold, release                           bytes counted as its owner's: files, records
    status              CREATE, CLAIM, requeue, finish, EXPIRE  jobs.schemas.JobStatus
    queued_at           CREATE, RESEND, requeue                 when a message for it was last due
    place               enqueue                                 in its queue; it comes back there when it is given back
    deliveries          CREATE, CLAIM, GIVE_BACK                how often it was claimed and not given back
    claimed_at          CLAIM, requeue                          when it was claimed last; gone while it waits
    started_at          CLAIM                                   when it was claimed first
    progress            RENEW, CLAIM, requeue                   jobs.schemas.Progress of this attempt
    stages              TIMING, CLAIM                           names of its stages in order, one a line
    timing:STAGE        TIMING, CLAIM                           seconds spent in a stage of this attempt
    cancel              CANCEL                                  1 when it is to be canceled
    result, result_key  FINISH                                  jobs.schemas.Result, and the key of its file
    error               FINISH, CLAIM, ABANDON, late            jobs.problems.Problem
    finished_at         finish                                  when it ended
    expires_at          finish                                  when its files go
    webhook_status      END                                     how telling of it ended; not there before
    webhook_attempts    RETRY, END                              how often it was tried
"""

from enum import StrEnum

from jobs.schemas import JobStatus

PREFIX = "pirenderer:"  # of every key: other applications may use the same Redis
TIMING_PREFIX = "timing:"  # of the fields with the seconds spent in stages
SPEC, LOCK, EVENTS = ":spec", ":lock", ":events"  # of a job, after its key

# Beginnings of keys that scripts do not know
MESSAGES = PREFIX + "celery:"  # all that Celery makes, its queues among them
LIMITS = PREFIX + "limits"  # all that limits makes
IDEMPOTENCY = PREFIX + "idempotency:"  # OWNER and key: what a request led to


class Key(StrEnum):
    """Keys, and beginnings of keys: those that end in a colon. Scripts have them by the same names."""

    JOB = PREFIX + "job:"  # ID: hash, as above; with SPEC its specification, LOCK its holder, EVENTS a stream
    NUMBER = PREFIX + "number"  # the last that was given to a job or portrait
    OWNER = PREFIX + "owner:"  # OWNER: sorted set of their jobs by number
    QUEUE = PREFIX + "queue:"  # KIND: sorted set of the jobs that wait, by place
    WAITING = PREFIX + "waiting:"  # KIND: hash, how many jobs of each owner wait
    VIRTUAL = PREFIX + "virtual:"  # KIND: the queue's virtual time, see jobs/store/scripts.py
    ENDS = PREFIX + "ends:"  # KIND: sorted set of owners by the end of their last job in virtual time
    RUNNING_JOBS = PREFIX + "running"  # sorted set by start
    DEADLINES = PREFIX + "deadlines"  # sorted set of jobs that have not begun, by time
    TOKEN = PREFIX + "token:"  # ID of a message: the job that it was used for
    EXPIRING = PREFIX + "expiring"  # sorted set of jobs that have ended, by the time they are due
    TOMBSTONES = PREFIX + "tombstones"  # the same of jobs that have expired
    OWNER_TOMBSTONES = PREFIX + "tombstones:"  # OWNER: sorted set of theirs by number
    KEPT = PREFIX + "kept:"  # WHAT: hash, the bytes that each owner keeps, of `files` and of `records`
    METRICS = PREFIX + "metrics"  # hash, see jobs/store/counters.py
    PACE = PREFIX + "pace"  # hash, seconds that jobs of each kind take of late
    WORKERS = PREFIX + "workers"  # sorted set by their last sign
    WORKER = PREFIX + "worker:"  # NAME: hash, what it said of itself
    WEBHOOKS = PREFIX + "webhooks"  # sorted set of jobs, by when their webhook is to be looked at
    WEBHOOKS_DUE = PREFIX + "webhooks:due:"  # OWNER: list of jobs whose time has come
    WEBHOOKS_OWNERS = PREFIX + "webhooks:owners"  # sorted set of owners with such a list, by when they were served last
    PORTRAIT = PREFIX + "portrait:"  # ID: what is known of a portrait, as JSON
    PORTRAITS = PREFIX + "portraits"  # sorted set by the time they are due
    OWNER_PORTRAITS = PREFIX + "portraits:"  # OWNER: sorted set of theirs by number


LUA = "".join(
    f"local {name} = '{value}'\n"
    for name, value in {
        **{status.name: status.value for status in JobStatus},
        **{key.name: key.value for key in Key},
        **{"TIMING_PREFIX": TIMING_PREFIX, "SPEC": SPEC, "LOCK": LOCK, "EVENTS": EVENTS},
    }.items()
)
"""The names as Lua's constants."""


def spec_key(job_id: str) -> str:
    """Of a job's specification."""
    return Key.JOB + job_id + SPEC


def lock_key(job_id: str) -> str:
    """Of a job's lock."""
    return Key.JOB + job_id + LOCK


def events_key(job_id: str) -> str:
    """Of a job's events."""
    return Key.JOB + job_id + EVENTS
