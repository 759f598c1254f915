"""Speech to motion: log-mel features, a conditional normalizing flow, sampling of motion sequences."""

from model.audio.live import LiveSpeech
from model.audio.speech_to_motion import SpeechToMotion, SpokenMotions
from model.audio.utterance import SpeechStyle

__all__ = ["LiveSpeech", "SpeechStyle", "SpeechToMotion", "SpokenMotions"]
