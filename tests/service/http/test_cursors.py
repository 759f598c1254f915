"""Cursors of lists: they lead through an owner's own, and tell nothing of anybody else's."""

import base64
from pathlib import Path

import pytest

from jobs.problems import ProblemType
from service.http.cursors import Cursors
from service.http.problems import ProblemError
from service.secret import SecretAwayError, ServiceSecret
from tests.service.conftest import BOTH, FIRST, SECOND, Start
from tests.service.routes.test_create import YAW, refused


@pytest.fixture
def cursors(tmp_path: Path) -> Cursors:
    return Cursors(ServiceSecret(tmp_path / "secret"))


def test_a_cursor_is_its_owners_and_holds_after_a_restart(cursors: Cursors, tmp_path: Path) -> None:
    again = Cursors(ServiceSecret(tmp_path / "secret"))
    for number in (0, 1, 146, 2**53):
        cursor = cursors.seal("team-a", number)
        assert cursor is not None
        assert again.open("team-a", cursor) == number
        with pytest.raises(ProblemError, match="is not a next_cursor of yours"):
            cursors.open("team-b", cursor)
    assert cursors.seal("team-a", None) is None
    assert cursors.open("team-a", None) is cursors.open("team-a", "") is None


def test_nothing_is_derived_from_a_secret_that_was_cut_off(tmp_path: Path) -> None:
    for size in (0, 31):
        (tmp_path / "secret").write_bytes(bytes(size))
        with pytest.raises(SecretAwayError, match=f"holds {size} bytes instead of 32"):
            ServiceSecret(tmp_path / "secret").derive("cursors")


def test_neighbours_have_nothing_in_common(cursors: Cursors) -> None:
    sealed = [base64.urlsafe_b64decode(str(cursors.seal("team-a", number))) for number in range(1000, 1020)]
    for place in range(len(sealed[0])):
        assert len({text[place] for text in sealed}) > 10  # of 20; a plain number has a byte that differs, and 7 alike


@pytest.mark.parametrize("cursor", ["MTQ2", "MTQ2Cg==", "x", "é", "a" * 32, "-" * 32, "%00", " " * 32])
def test_what_is_no_cursor_is_refused(cursors: Cursors, cursor: str) -> None:
    with pytest.raises(ProblemError, match="is not a next_cursor of yours") as caught:
        cursors.open("team-a", cursor)
    assert caught.value.problem.status == 400


def test_pages_are_whole_though_another_owner_makes_jobs_between(start: Start, portrait: bytes) -> None:
    server = start(api_keys=BOTH)

    def post(key: str) -> str:
        files, data = {"portrait": portrait}, {"motion": YAW}
        made = server.client.post("/v1/images", files=files, data=data, headers={"X-API-Key": key})
        return str(made.json()["id"])

    made = [post(key) for key in (FIRST, SECOND, FIRST, SECOND, SECOND, FIRST)]
    mine = [made[0], made[2], made[5]][::-1]
    others = start(api_keys=BOTH)  # the other front-end that shares the folder
    seen, cursor = [], ""
    for asked in (server, others, server):
        query = f"?limit=1&cursor={cursor}"
        page = asked.client.get(f"/v1/jobs{query}", headers={"X-API-Key": FIRST}).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is not None:
            assert not base64.urlsafe_b64decode(cursor).isdigit()
            stranger = asked.client.get(f"/v1/jobs?cursor={cursor}", headers={"X-API-Key": SECOND})
            refused(stranger, ProblemType.BAD_REQUEST)
    assert (seen, cursor) == (mine, None)
