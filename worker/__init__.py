"""The workers: they take jobs from the queues, read the media, drive the models and write the results."""
