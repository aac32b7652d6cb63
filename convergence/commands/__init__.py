"""The command line: one file a command, the user's words, and Hydra's callbacks."""
