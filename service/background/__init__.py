"""What a front-end does beside answering: upkeep of jobs and files, delivery of webhooks."""
