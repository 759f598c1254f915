"""How a worker takes jobs: Celery, turns, leases, and how each ends."""
