"""From a form to a job: uploads read and recognised, options checked, the job admitted and queued."""
