"""The paper's seven claims, each a file: its estimand, its test, and its rule."""

from __future__ import annotations

from convergence.report.claims import accuracy, decrease, divergence, early, freedom, hierarchy, privileged

CLAIMS = (decrease, freedom, privileged, hierarchy, early, divergence, accuracy)
EXPLAINED = {number: claim.EXPLAINED for number, claim in enumerate(CLAIMS, 1)}

__all__ = ["CLAIMS", "EXPLAINED"]
