"""A portrait that sits for its pictures: all that is made of it once, however many are made."""

from jobs.schemas import ImageOptions, VideoOptions
from model.animation.animator import PreparedFace
from worker.make.canvas import Canvas, SquareCrop, whole_photo
from worker.make.label import Labelled
from worker.workbench import PreparedPortrait, Workbench


class Sitter:
    """A portrait's face as the renderer takes it, and the canvas that its pictures come on."""

    def __init__(self, bench: Workbench, subject: PreparedPortrait, options: ImageOptions | VideoOptions) -> None:
        self.face = subject.face
        with bench.stages.timed("paste"):
            self.canvas = _canvas(subject, options)
        self._subject = subject

    @property
    def prepared(self) -> PreparedFace:
        """What the renderer makes once of the portrait."""
        return self._subject.prepared


def _canvas(subject: PreparedPortrait, options: ImageOptions | VideoOptions) -> Canvas:
    video = isinstance(options, VideoOptions)
    canvas: Canvas
    if not options.paste_back:
        canvas = SquareCrop(subject.photo, subject.face, options.size or len(subject.face.image))
    else:
        own = max(subject.photo.shape[:2])
        longest = options.size or min(options.result_format.longest_side or own, own)
        canvas = whole_photo(subject.photo, subject.face, longest, planar=video and not options.label)
    return Labelled(canvas) if options.label else canvas  # a label is drawn in RGB
