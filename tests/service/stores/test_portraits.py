"""Portraits as they are kept in Redis."""

import time

import pytest

from jobs.files.keys import new_id
from jobs.schemas import InputFile
from jobs.store.jobs import JobStore
from jobs.store.scripts import Scripts
from service.stores.portraits import PortraitStore

FILE = InputFile(key="portrait.jpg", media_type="image/jpeg", bytes=1, sha256="0")


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_portraits_expire_by_the_clock_of_redis(
    store: JobStore, redis_url: str, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """A front-end whose clock is wrong keeps and expires what others keep and expire."""
    scripts, portrait_id, right = Scripts.connect(redis_url), new_id(), time.time
    portraits = PortraitStore(scripts)
    monkeypatch.setattr(time, "time", lambda: right() + ahead_s)
    bounds = {"most": 1, "max_file_bytes": 1}
    kept = portraits.create(portrait_id, "me", FILE, width=1, height=1, retention_s=60, **bounds)
    used = scripts.do(portraits.using(portrait_id, "me", retention_s=60))
    assert used is not None
    assert right() - 10 < kept.created_at.timestamp() < right() + 10
    assert kept.expires_at < used.expires_at
    monkeypatch.undo()
    assert portraits.expire_due() == []
    scripts.do(portraits.using(portrait_id, "me", retention_s=-1))
    monkeypatch.setattr(time, "time", lambda: right() + ahead_s)
    assert portraits.expire_due() == [portrait_id]
    scripts.redis.close()
