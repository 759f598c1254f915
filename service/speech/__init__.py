"""From text to speech, which a job then takes as if it had been sent."""
