"""Images of a portrait re-posed, one or many of them, as a plain function over files that knows no queue.

It raises jobs.problems.ProblemError for what the user can mend and model.errors.ModelError from the models. Whatever
the report of the bench's stages raises passes through, which is how a job is stopped.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jobs.formats import ZIP
from jobs.motion_spaces import checked_still
from jobs.motions import Motion
from jobs.schemas import ImageOptions
from model.arrays import Floats
from worker.make.driving import driven_image
from worker.make.faces import read_portrait
from worker.make.motions import check_reads, still, within_reach_of
from worker.make.output import Output, check_size, clamped
from worker.make.sitter import Sitter
from worker.media.images import encode_image
from worker.workbench import Workbench


def make_image(
    bench: Workbench,
    portrait: Path,
    output: Path,
    *,
    motion: Motion | None = None,
    motions: Sequence[Motion] | None = None,
    driving: Path | None = None,
    options: ImageOptions,
) -> Output:
    """Re-pose a portrait by a still motion, or as the person in the image `driving`; write the image to `output`.

    With `motions`, a ZIP of one image for each is written: `001.png` and so on.
    """
    wanted = {"motion": motion} if motion else {f"motions.{index}": each for index, each in enumerate(motions or ())}
    poses = [checked_still(each, bench.models.motion_spaces, where) for where, each in wanted.items()]
    if driving is not None:
        check_reads(bench, "a driving image", bench.models.extractor.motion_space)
    subject = read_portrait(bench, portrait, options.face)
    if driving is not None:
        asked = driven_image(bench, subject, driving, options)[None]
    else:
        with bench.stages.run("motion"):
            asked = np.stack([still(each, subject.face, bench.models.controls) for each in poses])
    targets, reduced = within_reach_of(bench, subject.face, asked)
    sitter = Sitter(bench, subject, options)
    bench.stages.report("render", 0, len(targets))
    images = (_rendered(bench, sitter, target, options) for target in targets)
    image_format = options.result_format
    made = Output(
        image_format.media_type,
        width=sitter.canvas.width,
        height=sitter.canvas.height,
        clamped=clamped(subject.face, reduced),
    )
    if motions is None:
        output.write_bytes(next(images))
        bench.stages.report("render", 1, 1)
        return made
    with zipfile.ZipFile(output, "w") as archive:  # stored: pictures do not shrink any more
        for number, image in enumerate(images, 1):
            archive.writestr(f"{number:03}.{image_format.suffix}", image)
            check_size(output, bench.settings.max_archive_bytes, f"the first {number} images", "a smaller size or jpeg")
            bench.stages.report("render", number, len(targets))
    return replace(made, media_type=ZIP.media_type, images=len(targets))


def _rendered(bench: Workbench, sitter: Sitter, target: Floats, options: ImageOptions) -> bytes:
    with bench.stages.timed("render"):
        (animated,) = next(bench.models.animator.animate(sitter.prepared, target[None], batch_size=1))
    with bench.stages.timed("paste"):
        image = sitter.canvas.paste(animated)
    with bench.stages.timed("encode"):
        encoded = encode_image(image, options.format, quality=options.quality)
    if bench.credentials is None:
        return encoded
    with bench.stages.timed("sign"):
        return bench.credentials.signed(encoded, options.result_format.media_type, composite=options.paste_back)
