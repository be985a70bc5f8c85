"""Channel-shuffling pretraining: an encoder learns structure, not one sensor's bands."""
