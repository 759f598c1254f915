"""The models a worker drives, each loaded when first needed and then kept."""

from functools import cached_property
from pathlib import Path

import structlog

from jobs.files.written import try_folder
from jobs.motion_spaces import MotionSpace
from model.animation.animator import Animator
from model.audio import SpeechToMotion
from model.extractor import Extractor
from model.extractor.deep3d import Deep3DExtractor
from model.morphable.basis import MOTION_SPACE
from model.morphable.controls import Controls
from model.weights import RENDERER
from model.weights.card import Control
from model.weights.files import digest_of_cards, read_card
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


class Models:
    """One of each, from `directory` or as released; `renderer` names the weights, `engine` and `device` are for them.

    What an engine compiles is kept in `cache_directory`. Loading raises model.errors.WeightsError where weights are
    missing and EngineError where this machine lacks the engine.
    """

    def __init__(
        self,
        *,
        renderer: str = RENDERER,
        engine: str = "auto",
        device: str = "auto",
        directory: Path | None = None,
        cache_directory: Path | None = None,
    ) -> None:
        self._directory = directory
        self._renderer = renderer
        self._engine = engine
        self._device = device
        self._cache_directory = cache_directory

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Models":
        """Those that a worker of these settings drives."""
        return cls(
            renderer=settings.renderer,
            engine=settings.engine,
            device=settings.device,
            directory=settings.weights_dir,
            cache_directory=_writable(settings.engine_cache_dir),
        )

    @property
    def digest(self) -> str:
        """What tells these weights from others."""
        return digest_of_cards(self._renderer, self._directory)

    @cached_property
    def motion_spaces(self) -> dict[str, MotionSpace[Control]]:
        """The one that the renderer takes, as the cards say: no weights are loaded for it."""
        card = read_card(self._renderer, self._directory)
        name, controls = card["motion_space"], []
        if name == MOTION_SPACE:
            controls = read_card(MOTION_SPACE, self._directory)["controls"]
        named = {each["name"]: Control.model_validate(each) for each in controls}
        return {name: MotionSpace(name, card["dimension"], named)}

    @cached_property
    def extractor(self) -> Extractor:
        """Photo or frame -> face crop -> motion: of the renderer's space where weights that read it are installed."""
        extractor = Extractor.load(self._directory, cache_directory=self._cache_directory)
        wanted = read_card(self._renderer, self._directory).get("motion_space")
        if wanted != Deep3DExtractor.motion_space or not Deep3DExtractor.installed(self._directory):
            return extractor
        return Deep3DExtractor.load_beside(extractor, self._directory, device=self._device)

    @cached_property
    def controls(self) -> Controls:
        """Named controls -> motion."""
        return Controls.load(directory=self._directory)

    @cached_property
    def animator(self) -> Animator:
        """Portrait and motion -> frames."""
        return Animator.load(
            engine=self._engine,
            device=self._device,
            cache_directory=self._cache_directory,
            name=self._renderer,
            directory=self._directory,
        )

    @property
    def rendering(self) -> tuple[str, str] | None:
        """Which engine renders, and on what device; None until they are loaded."""
        loaded: Animator | None = self.__dict__.get("animator")
        return None if loaded is None else (loaded.engine.name, str(loaded.engine.device))

    @cached_property
    def speech(self) -> SpeechToMotion:
        """Speech -> motion."""
        return SpeechToMotion.load(self._directory)

    def load_all(self, *, speech: bool = True) -> None:
        """Load what any job may need; without `speech`, what any needs that has none."""
        _ = self.extractor, self.controls, self.animator
        if speech:
            _ = self.speech


def _writable(folder: Path) -> Path | None:
    """The folder, made where there is none; None where it cannot be written, as some engines would not run then."""
    try:
        try_folder(folder)
    except OSError as error:
        log.warning("what engines compile is not kept", folder=str(folder), reason=error.strerror)
        return None
    return folder
