"""Imported last by the process that commands are forked from: what it holds is left alone, so that forks share it."""

import gc

gc.collect()
gc.freeze()
