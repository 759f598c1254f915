"""In which order a worker takes messages."""

from worker.queue.app import ByPriority


def test_images_are_taken_before_motions_and_those_before_videos() -> None:
    asked = ByPriority()
    asked.update({"videos", "images", "motions"})
    assert asked.consume(3) == ["images", "motions", "videos"]
    asked.update({"videos", "motions"})
    assert asked.consume(2) == ["motions", "videos"]
