"""What front-ends keep in Redis beside jobs: portraits, idempotency keys, limits, and whether the stores answer."""
