"""Problems as they are kept with jobs."""

from jobs.problems import Problem, ProblemType


def test_one_that_an_earlier_worker_wrote_has_the_page_of_its_type() -> None:
    kept = Problem.of(ProblemType.NO_FACE, "none")
    earlier = kept.model_dump_json().replace("/problems/no-face", "urn:pirenderer:problem:no-face")
    assert "urn:" in earlier
    assert Problem.model_validate_json(earlier) == kept
