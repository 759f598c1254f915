"""Lists of jobs."""

import pytest

from jobs.store import lookups
from jobs.store.creation import Terms
from jobs.store.jobs import JobStore
from jobs.store.lookups import Filters
from jobs.store.names import Key
from tests.jobs.conftest import create


def test_pages_are_newest_first_and_of_the_owner(store: JobStore) -> None:
    mine = [create(store) for _ in range(5)]
    create(store, owner="another")
    first, cursor = store.lookups.page("me", limit=2)
    second, cursor = store.lookups.page("me", limit=2, before=cursor)
    third, end = store.lookups.page("me", limit=2, before=cursor)
    assert [record.id for record in (*first, *second, *third)] == mine[::-1]
    assert end is None


def test_a_page_looks_at_so_many_and_no_more(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKS", 4)
    wanted = create(store, terms=Terms(metadata={"order": "17"}))
    for _ in range(9):
        create(store)
    filters = Filters(metadata={"order": "17"})
    pages: list[list[str]] = []
    before = None
    while len(pages) < 3:
        records, before = store.lookups.page("me", filters, before=before)
        pages.append([record.id for record in records])
    assert pages == [[], [], [wanted]]
    assert before is None


def test_metadata_is_found_by_whole_pairs_alone(store: JobStore) -> None:
    values = ["", "a", 'a"', "a\\", 'a\\"', 'b": "a', '", "k": "a', "é", "\U0001f600", "%d.*", "a\n", "\0"]
    noted = [{"k": value, "other": "a"} for value in values] + [{"other": value} for value in values] + [{"kk": "a"}]
    made = {create(store, terms=Terms(metadata=metadata)): metadata for metadata in noted}
    for name in ("k", "other"):
        for value in values:
            found, _ = store.lookups.page("me", Filters(metadata={name: value}))
            expected = {job_id for job_id, metadata in made.items() if metadata.get(name) == value}
            assert {record.id for record in found} == expected


def test_what_is_gone_leaves_the_list(store: JobStore) -> None:
    gone, left = create(store), create(store)
    store._redis.delete(Key.JOB + gone)
    records, before = store.lookups.page("me")
    assert ([record.id for record in records], before) == ([left], None)
    assert store._redis.zcard(Key.OWNER + "me") == 1
