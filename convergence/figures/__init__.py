"""The paper's figures, drawn from results alone."""

from convergence.figures.draw import draw as draw

__all__ = ["draw"]
