"""What `benchmarks/capacity.py` makes of its figures, and that docs/capacity.md tells the same."""

import re

import pytest

from benchmarks.capacity import GIB, MIB, Figures, needs
from tests.support.paths import ROOT

# Ten seconds that take a worker five, and two cores all of that; a MiB of files
FIGURES = Figures(10.0, 5.0, 10.0, file_bytes=MIB, record_bytes=1024, expired_bytes=512)


def test_what_is_needed_follows_from_one_video() -> None:
    found = needs(FIGURES, 60, busy=0.5, kept_h=2)  # 360 videos an hour, which take 1800 s of workers
    assert (found.workers, found.cores) == (1, pytest.approx(2.0))
    assert found.files_gib * GIB == 720 * MIB
    assert found.redis_mib * MIB == 720 * 1024 + 10_000 * 512
    assert needs(FIGURES, 61, busy=0.5).workers == 2


def test_few_videos_need_little() -> None:
    found = needs(FIGURES, 1 / 6, busy=1.0, kept_h=1)  # one video an hour
    assert found.workers == 1
    assert found.redis_mib * MIB == 1024 + 168 * 512


def test_the_page_tells_what_follows_from_its_figures() -> None:
    page = (ROOT / "docs/capacity.md").read_text("utf-8")
    number = r"([\d.]+)"
    told = re.search(
        rf"A video of {number} s took {number} s of a worker and {number} s of the cores; {number} MB of files and "
        rf"{number} kB of Redis, {number} kB when it has expired",
        " ".join(page.split()),
    )
    assert told is not None
    video_s, job_s, core_s, megabytes, record, expired = map(float, told.groups())
    figures = Figures(video_s, job_s, core_s, round(megabytes * 1e6), round(record * 1000), round(expired * 1000))
    rows = re.findall(rf"^\| (\d+) \| {number} \| (\d+) \| {number} \| (\d+) \|$", page, re.MULTILINE)
    assert rows
    for minutes, cores, workers, files, redis in rows:
        found = needs(figures, float(minutes))
        assert float(cores) == pytest.approx(found.cores, rel=0.02, abs=0.06)
        assert int(workers) == pytest.approx(found.workers, abs=1)
        assert float(files) == pytest.approx(found.files_gib, rel=0.02, abs=0.06)
        assert int(redis) == pytest.approx(found.redis_mib, rel=0.02, abs=1)
