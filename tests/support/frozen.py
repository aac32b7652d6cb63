"""Imported last by the process that commands are forked from: what it holds is left alone, so that forks share it."""

import gc

gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)  # as in conftest.py
