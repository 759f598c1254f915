"""What the extractor is worth on people it was not trained on: `pirenderer evaluate extractor`."""

from model.evaluation.extractor.evaluate import evaluate

__all__ = ["evaluate"]
