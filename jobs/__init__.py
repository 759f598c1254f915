"""The contract between the front-end and the workers: schemas, job store, artifact store, queues."""
