import pytest

from jobs.segments import count_segments, frames_of_segment


@pytest.mark.parametrize("frames", [1, 11, 12, 13, 36, 37, 84, 85, 100, 101, 184, 185, 1500, 15_000])
def test_segments_follow_each_other_and_make_the_whole(frames):
    spans = [frames_of_segment(index, frames) for index in range(count_segments(frames))]
    assert [frame for span in spans for frame in span] == list(range(frames))
    assert all(spans)
    assert len(frames_of_segment(len(spans), frames)) == 0


def test_the_first_segments_are_short():
    assert [len(frames_of_segment(index)) for index in range(6)] == [12, 24, 48, 100, 100, 100]
