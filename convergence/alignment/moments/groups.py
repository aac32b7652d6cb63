"""Products of neighbouring layers of two networks, laid side by side: one matrix product serves many pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Pair = tuple[str, str]


class Columns(Protocol):
    """The layers of one side, by name and in which columns each stands."""

    names: list[str]
    slices: dict[str, slice]


@dataclass
class Group:
    """Neighbouring layers of X that meet the same neighbouring layers of Y: one matrix product."""

    names_x: list[str]
    names_y: list[str]
    side_x: Columns
    side_y: Columns
    products: Tensor

    @property
    def columns_x(self) -> slice:
        return slice(self.side_x.slices[self.names_x[0]].start, self.side_x.slices[self.names_x[-1]].stop)

    @property
    def columns_y(self) -> slice:
        return slice(self.side_y.slices[self.names_y[0]].start, self.side_y.slices[self.names_y[-1]].stop)

    def views(self) -> Iterable[tuple[Pair, Tensor]]:
        for a in self.names_x:
            for b in self.names_y:
                rows, columns = self.side_x.slices[a], self.side_y.slices[b]
                yield (
                    (a, b),
                    self.products[
                        ...,
                        rows.start - self.columns_x.start : rows.stop - self.columns_x.start,
                        columns.start - self.columns_y.start : columns.stop - self.columns_y.start,
                    ],
                )


def groups_of(
    pairs: Sequence[Pair], side_x: Columns, side_y: Columns, parts: tuple[int, ...], device: torch.device
) -> list[Group]:
    """Empty products of shape (*parts, Σ N_x, Σ N_y) for all pairs."""
    wanted = set(pairs)
    runs: list[tuple[list[str], list[str]]] = []
    for a in side_x.names:
        mine: list[list[str]] = [[]]
        for b in side_y.names:
            if (a, b) in wanted:
                mine[-1].append(b)
            elif mine[-1]:
                mine.append([])
        for partners in filter(None, mine):
            if runs and runs[-1][1] == partners:
                runs[-1][0].append(a)
            else:
                runs.append(([a], partners))
    groups = []
    for names_x, names_y in runs:
        shape = (
            *parts,
            sum(_width(side_x.slices[a]) for a in names_x),
            sum(_width(side_y.slices[b]) for b in names_y),
        )
        products = torch.zeros(shape, dtype=torch.float64, device=device)
        groups.append(Group(names_x, names_y, side_x, side_y, products))
    return groups


def _width(columns: slice) -> int:
    return int(columns.stop - columns.start)
