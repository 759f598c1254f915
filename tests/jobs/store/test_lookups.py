"""Lists of jobs."""

from jobs.store.jobs import JobStore
from tests.jobs.conftest import create


def test_pages_are_newest_first_and_of_the_owner(store: JobStore) -> None:
    mine = [create(store) for _ in range(5)]
    create(store, owner="another")
    first, cursor = store.lookups.page("me", limit=2)
    second, cursor = store.lookups.page("me", limit=2, before=cursor)
    third, end = store.lookups.page("me", limit=2, before=cursor)
    assert [record.id for record in (*first, *second, *third)] == mine[::-1]
    assert end is None
