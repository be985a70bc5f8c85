"""Networks: chips in, class probabilities out. Know no rasters, no files but checkpoints."""
