"""The models: morphable model, extractor, renderer, audio flow. Knows nothing of HTTP, Redis or Celery.

Importing this package loads no torch: the front-end reads the weight cards beside the weights through it.
"""
