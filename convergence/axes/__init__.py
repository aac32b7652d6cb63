"""What an experiment compares: depth, training, images out of distribution."""
