"""The exception tree of the models. Every message names the value got and what is allowed."""


class ModelError(Exception):
    """Base of everything the models raise on purpose; its text is fit to be shown to a user."""


class WeightsError(ModelError):
    """A weights file or card is missing, damaged, or does not fit the network."""


class MotionSpaceError(ModelError):
    """A motion belongs to another motion space, or has the wrong length or non-finite numbers."""


class ControlError(ModelError):
    """A named control is unknown or out of its range."""


class NoFaceError(ModelError):
    """No usable face was found in a picture."""


class FaceIndexError(ModelError):
    """The face asked for does not exist in the picture."""


class AudioError(ModelError):
    """The sound cannot drive a motion."""


class DataError(ModelError):
    """Training data is missing or not laid out as documented."""


class TrainingDivergedError(ModelError):
    """A loss became non-finite; the last good checkpoint is kept."""


class EngineError(ModelError):
    """An inference engine is unknown or not available on this machine."""
