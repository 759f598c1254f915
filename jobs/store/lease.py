"""Keeps a claim alive while a job is worked on."""

import threading
from types import TracebackType
from typing import Self

from redis import RedisError

from jobs.store.claims import Claims, JobCanceledError
from jobs.store.held import ClaimLostError
from jobs.store.records import Claim

HEARD_S = 1.0


class Lease:
    """Renews a claim from a thread, for as long as the `with` block runs: three times per lease, and often enough that
    the wish to cancel is heard of within a second.

    What the renewals learn is raised by `check`, which the work calls between batches:

        with Lease(store.claims, claim) as lease:
            for batch in batches:
                lease.check()
                ...
    """

    def __init__(self, claims: Claims, claim: Claim) -> None:
        self._claims = claims
        self._claim = claim
        self._stop = threading.Event()
        self._bad_news: JobCanceledError | ClaimLostError | None = None
        self._thread = threading.Thread(target=self._renew, name=f"lease-{claim.job_id[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise JobCanceledError or ClaimLostError when a renewal learnt of it."""
        if self._bad_news is not None:
            raise self._bad_news

    def _renew(self) -> None:
        while not self._stop.wait(min(self._claim.lease_ms / 3000, HEARD_S)):
            try:
                self._claims.renew(self._claim)
            except JobCanceledError as error:
                self._bad_news = error  # the lock must still be held until the job is ended
            except ClaimLostError as error:
                self._bad_news = error
                return
            except RedisError:
                continue  # the lease outlasts two failed renewals
