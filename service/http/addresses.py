"""Where things are: the addresses of a job."""

from jobs.schemas import Job, JobKind, Urls
from jobs.store.records import JobRecord


def public_job(record: JobRecord, root_path: str) -> Job:
    """A job with its addresses, under the path that a proxy serves us under."""
    base = f"{root_path}/v1/jobs/{record.id}"
    return record.public(
        Urls(
            self=base,
            events=f"{base}/events",
            cancel=f"{base}/cancel",
            result=f"{base}/result",
            stream=f"{base}/stream.m3u8" if record.kind is JobKind.VIDEO else None,
        )
    )
