"""Jobs on the command line: no server, progress bars on the standard error stream."""

from collections.abc import Callable
from pathlib import Path

import typer

from jobs.credentials import ContentCredentials
from jobs.drivers import Drivers
from jobs.files.written import written
from jobs.logs import configure_logging
from jobs.motion_spaces import checked_still
from jobs.problems import ProblemError
from jobs.schemas import ImageOptions, MotionOptions, VideoOptions
from jobs.settings import read_settings
from model.errors import ModelError
from worker.decoding import start_forkserver
from worker.make.image import make_image
from worker.make.motion import extract_motion
from worker.make.output import Output
from worker.make.plan import check_motion
from worker.make.render import make_video
from worker.models import Models
from worker.offline.console import StageBars, show_outcome
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.workbench import Workbench


def render_offline(
    portrait: Path,
    output: Path,
    *,
    drivers: Drivers,
    options: ImageOptions | VideoOptions,
    as_json: bool,
) -> None:
    """Make an image or a video, as the options are for the one or the other."""

    def load(models: Models) -> None:
        motion, spaces = drivers.motion, models.motion_spaces
        if motion is not None:  # a mistake in it is told at once, not after seconds
            if isinstance(options, VideoOptions):
                check_motion(motion, spaces, audio=drivers.audio, driving=drivers.driving)
            else:
                checked_still(motion, spaces, "motion")
        models.load_all(speech=drivers.audio is not None)

    def job(bench: Workbench, path: Path) -> Output:
        if isinstance(options, ImageOptions):
            return make_image(bench, portrait, path, motion=drivers.motion, driving=drivers.driving, options=options)
        return make_video(
            bench,
            portrait,
            path,
            audio=drivers.audio,
            motion=drivers.motion,
            driving=drivers.driving,
            options=options,
        )

    _run(job, output, load=load, as_json=as_json)


def extract_offline(
    source: Path, output: Path, *, video: bool, overlay: Path | None, options: MotionOptions, as_json: bool
) -> None:
    """Extract the motion of an image or a video; what was read is drawn on it and written to `overlay`."""

    def job(bench: Workbench, path: Path) -> Output:
        if overlay is None:
            return extract_motion(bench, source, path, video=video, options=options)
        with written(overlay) as drawn:
            return extract_motion(bench, source, path, video=video, options=options, overlay=drawn)

    _run(job, output, load=lambda models: models.extractor, as_json=as_json)


def _run(
    job: Callable[[Workbench, Path], Output], output: Path, *, load: Callable[[Models], object], as_json: bool
) -> None:
    """Load what a job needs and run it; errors that are the user's end the command with their text and code 1."""
    start_forkserver()  # it loads beside the models
    configure_logging("warning")  # to standard error: what is written to the other is the outcome
    try:
        settings = read_settings(WorkerSettings)
        credentials = ContentCredentials.of(settings)
        with StageBars() as bars, written(output) as temporary:
            stages = Stages(bars.report)
            with stages.run("load"):
                models = Models.of(settings)
                load(models)
            made = job(Workbench(models, settings, stages, credentials=credentials), temporary)
    except (ProblemError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    show_outcome(output, made, stages.seconds, as_json=as_json)
