"""The files of jobs and portraits, in a folder or a bucket that front-ends and workers share."""
