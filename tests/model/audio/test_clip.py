import pytest

from model.audio.clip import SpeechClip, balanced
from tests.support.speech_corpus import silent_clip


def clip(source: str, person: str, frames: int, *, sync: float = 0.5) -> SpeechClip:
    return silent_clip(frames, person=person, source=source, sync=sync)


def test_sources_and_people_are_drawn_by_the_root_of_their_minutes() -> None:
    clips = [clip("a", "p", 300), clip("a", "p", 100), clip("a", "q", 100), clip("b", "r", 2000)]
    first, second, third, alone = balanced(clips).tolist()
    assert first == pytest.approx(3 * second)
    assert first + second == pytest.approx(2 * third)
    assert alone == pytest.approx(2 * (first + second + third))


def test_what_is_not_in_step_is_not_drawn() -> None:
    weights = balanced([clip("a", "p", 100), clip("a", "q", 100, sync=0.0), clip("b", "r", 50, sync=-0.2)])
    assert weights[0] > 0
    assert weights[1:].tolist() == [0, 0]


def test_a_clip_that_agrees_less_counts_less() -> None:
    whole, half = balanced([clip("a", "p", 100), clip("a", "p", 100, sync=0.25)]).tolist()
    assert whole == pytest.approx(2 * half)
