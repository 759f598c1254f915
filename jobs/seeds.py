"""The seeds of jobs, by which speech moves a head: drawn once, so that the same is made again."""

from jobs.schemas import JobSpec, VideoSpec


def drawn_seed(job_id: str) -> int:
    """The seed of a job that names none: the same whoever makes it, and however often."""
    return int(job_id[:8], 16)


def with_seed(spec: JobSpec, job_id: str) -> JobSpec:
    """The specification of a job with the seed that it is made with, where it is made with any."""
    if not isinstance(spec, VideoSpec) or spec.audio is None or spec.options.seed is not None:
        return spec
    options = spec.options.model_copy(update={"seed": drawn_seed(job_id)})
    return spec.model_copy(update={"options": options})
