"""Where a network comes from, its layers and preprocessing, and training."""
