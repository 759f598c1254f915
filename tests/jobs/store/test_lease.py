"""A hold that is kept while work goes on."""

import pytest

from jobs.store.claims import JobCanceledError
from jobs.store.jobs import JobStore
from jobs.store.lease import Lease
from jobs.store.names import lock_key
from tests.jobs.conftest import claim, create
from tests.support.processes import until


def test_a_lease_is_renewed_and_tells_of_cancellation(store: JobStore) -> None:
    job_id = create(store)
    taken, lock = claim(store, job_id, lease_s=60), lock_key(job_id)
    with Lease(store.claims, taken) as lease:
        store._redis.expire(lock, 30)
        until(lambda: store._redis.ttl(lock) > 30, "it is not renewed")
        assert store.claims.lock(job_id) == taken.lock
        lease.check()
        store.request_cancel(job_id)
        with pytest.raises(JobCanceledError):
            until(lease.check, "nothing is told")
