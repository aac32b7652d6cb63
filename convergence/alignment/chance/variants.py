"""Draws of a null as variants of a tile's data: what a fit reads of them, from the tile's moments.

A draw of `shuffle` has the layers' statistics of the data, and products between them of its own. A draw of `rotation`
follows from the data's statistics alone: Q turns the units of the source that live in every training set, and the
others stay as they are, so that dead units stay dead.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.engine import Block, Tile
from convergence.alignment.metrics.metric import HeldOut, Training
from convergence.alignment.moments.statistics import HeldOutUnits, Layers, TrainingUnits, alive, quadratic


def shuffled(tile: Tile, block: Block, products: list[Tensor]) -> tuple[Training, HeldOut]:
    """The block's pairs with stimuli in other orders.

    Parameters
    ----------
    products : for each pair (K, V, N_x, N_y), of each fold and draw.
    """
    parts = products[0][None] if len(products) == 1 else torch.stack(products)
    return tile.paired(block, parts, parts)


def rotations(stacks: list[Layers], seed: int, draws: range) -> dict[int, Tensor]:
    """(L, V, N, N) for each stack of layers; the same for layers of as many live units."""
    always = {id(stack): stack.live.all(dim=1).cpu() for stack in stacks}
    counts = {int(n) for live in always.values() for n in live.sum(dim=1)}
    made = {(n, draw): nulls.orthogonal(n, seed, draw) for n, draw in product(sorted(counts), draws)}
    found = {}
    for stack in stacks:
        layers = []
        for live in always[id(stack)]:
            turn = torch.stack([made[int(live.sum()), draw] for draw in draws])
            if not live.all():
                places, part = live.nonzero(), turn
                turn = torch.eye(len(live), dtype=part.dtype).repeat(len(draws), 1, 1)
                turn[:, places, places.T] = part
            layers.append(turn)
        found[id(stack)] = torch.stack(layers).to(stack.live.device)
    return found


def rotated(tile: Tile, block: Block, direction: str, turns: Tensor) -> tuple[Training, HeldOut]:
    """The block's pairs with the units of the source turned, by (P or 1, V, N, N)."""
    training, held_out = tile.data(block)
    turn = turns[:, None]  # the same at every fold
    if direction == "x->y":
        stack, index = block.x
        units, test = _turned(training.source, held_out.source, stack, index, turn)
        return (
            Training(units, training.target, turn.mT @ training.cross),
            HeldOut(test, held_out.target, turn.mT @ held_out.cross),
        )
    stack, index = block.y
    units, test = _turned(training.target, held_out.target, stack, index, turn)
    return (
        Training(training.source, units, training.cross @ turn),
        HeldOut(held_out.source, test, held_out.cross @ turn),
    )


def _turned(
    units: TrainingUnits, test: HeldOutUnits, stack: Layers, index: Tensor | None, turn: Tensor
) -> tuple[TrainingUnits, HeldOutUnits]:
    """The units after the rotations: of QᵀSQ only the diagonal is needed."""
    assert units.scatter is not None

    def moved(values: Tensor) -> Tensor:
        return (values[..., None, :] @ turn).squeeze(-2)

    level = (stack.shift if index is None else stack.shift[index]).unsqueeze(2)
    mean = moved(test.mean)
    variance = quadratic(test.scatter, turn.expand(*test.scatter.shape[:2], *turn.shape[2:]))
    varies = alive(variance, test.n, mean, moved(level)) & units.live
    trained = quadratic(units.scatter, turn.expand(*units.scatter.shape[:2], *turn.shape[2:]))
    turned_units = replace(units, mean=moved(units.mean), variance=trained, scatter=None, eigen=None)
    turned_test = HeldOutUnits(test.n, mean, variance, moved(test.shift), varies, test.scatter, turned=turn)
    return turned_units, turned_test
