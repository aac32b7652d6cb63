"""From two responses to the same images to a score: statistics, fits, held-out scores, chance."""
