"""What front-ends keep in Redis beside jobs: portraits, idempotency keys, and whether the stores answer."""
