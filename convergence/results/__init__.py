"""The table of scores: its columns, its files, and the statistics drawn from it."""
