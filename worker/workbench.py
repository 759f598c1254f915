"""What a job is done with: models, limits, and the stopwatches of its stages."""

from dataclasses import dataclass, field

from worker.models import Models
from worker.settings import WorkerSettings
from worker.stages import Stages


@dataclass(frozen=True)
class Workbench:
    """Models and settings live as long as the process, `stages` as long as the job."""

    models: Models
    settings: WorkerSettings
    stages: Stages = field(default_factory=Stages)
