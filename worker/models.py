"""The models a worker drives, each loaded when first needed and then kept."""

from functools import cached_property

from model.audio import SpeechToMotion
from model.extractor import Extractor
from model.morphable.controls import Controls
from model.renderer.animate import Animator


class Models:
    """One of each. Loading raises model.errors.WeightsError where weights are missing."""

    def __init__(self, *, engine: str = "auto") -> None:
        self._engine = engine

    @cached_property
    def extractor(self) -> Extractor:
        """Photo or frame -> face crop -> motion."""
        return Extractor.load()

    @cached_property
    def controls(self) -> Controls:
        """Named controls -> motion."""
        return Controls.load()

    @cached_property
    def animator(self) -> Animator:
        """Portrait and motion -> frames."""
        return Animator.load(engine=self._engine)

    @cached_property
    def speech(self) -> SpeechToMotion:
        """Speech -> motion."""
        return SpeechToMotion.load()

    def load_all(self) -> None:
        """Load what any job may need."""
        _ = self.extractor, self.controls, self.animator, self.speech
