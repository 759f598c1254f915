from itertools import islice

import pytest

from jobs.segments import LENGTH, cut


@pytest.mark.parametrize("frames", [1, 11, 12, 13, 36, 37, 84, 85, 100, 101, 184, 185, 599, 600, 601, 1500, 15_000])
def test_segments_follow_each_other_and_make_the_whole(frames: int) -> None:
    spans = list(cut(frames))
    assert [frame for span in spans for frame in span] == list(range(frames))
    assert all(0 < len(span) <= LENGTH for span in spans)


def test_the_first_segments_are_short_and_the_last_of_a_long_video() -> None:
    assert [len(span) for span in islice(cut(), 6)] == [12, 24, 48, 100, 100, 100]
    assert [len(span) for span in cut(599)] == [12, 24, 48, *[100] * 5, 15]
    assert [len(span) for span in cut(600)] == [12, 24, 48, *[100] * 3, *[36] * 6]


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 16])
def test_workers_who_share_a_minute_end_at_about_the_same_time(workers: int) -> None:
    busy_until = [0] * workers
    for span in cut(1500):
        first = busy_until.index(min(busy_until))
        busy_until[first] += len(span)
    assert 1500 / (workers * max(busy_until)) > 0.92
