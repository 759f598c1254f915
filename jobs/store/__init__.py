"""The state of jobs in Redis: created, waiting for their turn, claimed, ended, told of. Every change is one script."""
