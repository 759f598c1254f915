"""Who makes what a kind of job is for, and what the file with the result is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from jobs.documents import read_document
from jobs.formats import JSON, ZIP, Format
from jobs.schemas import MOTIONS, ImageSpec, InputFile, JobKind, MotionSpec
from worker.make.image import make_image
from worker.make.motion import extract_archive, extract_motion
from worker.make.output import Output
from worker.workbench import Workbench

T = TypeVar("T")


class Inputs:
    """A job's files, each fetched by its key when it is asked for; what is known of it is told to the bench."""

    def __init__(self, fetch: Callable[[str], Path], bench: Workbench) -> None:
        self._fetch = fetch
        self._bench = bench

    def path(self, file: InputFile) -> Path:
        """Where a file lies on this machine."""
        path = self._fetch(file.key)
        self._bench.digests[path] = file.sha256
        return path

    def optional(self, file: InputFile | None) -> Path | None:
        """The same of a file that there need not be."""
        return None if file is None else self.path(file)

    def document(self, schema: TypeAdapter[T], file: InputFile | None) -> T | None:
        """What a JSON file holds that there need not be."""
        return None if file is None else read_document(schema, self.path(file).read_bytes())


class Maker(NamedTuple):
    """For one kind of specification: writes the result to a path, says its format beforehand, counts its pictures."""

    make: Callable[[Workbench, Any, Inputs, Path], Output]
    format_of: Callable[[Any], Format]
    counted: Callable[[Output], dict[str, int]]

    def output_name(self, spec: Any) -> str:
        """The name of the file with the result."""
        return f"result.{self.format_of(spec).suffix}"


def _make_image(bench: Workbench, spec: ImageSpec, inputs: Inputs, output: Path) -> Output:
    return make_image(
        bench,
        inputs.path(spec.portrait),
        output,
        motion=spec.motion,
        motions=inputs.document(MOTIONS, spec.motions_file) or spec.motions,
        driving=inputs.optional(spec.driving),
        options=spec.options,
    )


def _image_format(spec: ImageSpec) -> Format:
    return ZIP if spec.motion_count else spec.options.result_format


def _extract_motion(bench: Workbench, spec: MotionSpec, inputs: Inputs, output: Path) -> Output:
    video = not spec.source.media_type.startswith("image/")
    extract = extract_archive if spec.options.overlay else extract_motion
    return extract(bench, inputs.path(spec.source), output, video=video, options=spec.options)


def _motion_format(spec: MotionSpec) -> Format:
    return ZIP if spec.options.overlay else JSON


def _images(made: Output) -> dict[str, int]:
    return {"images": 1 if made.images is None else made.images}


def _nothing(_: Output) -> dict[str, int]:
    return {}  # what was read of a motion is no picture


MAKERS = {
    JobKind.IMAGE: Maker(_make_image, _image_format, _images),
    JobKind.MOTION: Maker(_extract_motion, _motion_format, _nothing),
}
