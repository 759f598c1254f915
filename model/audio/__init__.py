"""Speech to motion: log-mel features, a conditional normalizing flow, sampling of motion sequences."""

from model.audio.speech_to_motion import SpeechStyle, SpeechToMotion, SpokenMotions

__all__ = ["SpeechStyle", "SpeechToMotion", "SpokenMotions"]
