"""Speech to motion: log-mel features, a conditional normalizing flow, sampling of motion sequences."""
