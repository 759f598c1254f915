"""A hold that is kept while work goes on."""

import time

import pytest

from jobs.store.claims import JobCanceledError
from jobs.store.jobs import JobStore
from jobs.store.lease import Lease
from tests.jobs.conftest import claim, create

pytestmark = pytest.mark.alone


def test_a_lease_outlives_its_length_and_tells_of_cancellation(store: JobStore) -> None:
    job_id = create(store)
    taken = claim(store, job_id, lease_s=0.3)
    with Lease(store.claims, taken) as lease:
        time.sleep(0.6)
        assert store.claims.lock(job_id) == taken.lock
        lease.check()
        store.request_cancel(job_id)
        time.sleep(0.3)
        with pytest.raises(JobCanceledError):
            lease.check()
