"""One run: its config, plan, folder, estimate and state, and the networks of a population."""
