"""Draws of a null as variants of a tile's data: what a fit reads of them, from the tile's moments.

A draw of `shuffle` has the layers' statistics of the data, and products between them of its own. A draw of `rotation`
follows from the data's statistics alone: Q turns the units of the source that live in every training set, and the
others stay as they are, so that dead units stay dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.engine import Block, Tile
from convergence.alignment.metrics.metric import HeldOut, Training
from convergence.alignment.moments.statistics import (
    HeldOutUnits,
    Layers,
    TrainingUnits,
    alive,
    cross_scatters,
    quadratic,
)
from convergence.alignment.stacks import stacked


def shuffled(
    tile: Tile, block: Block, products: list[Tensor], beside: tuple[Tensor, Tensor]
) -> tuple[Training, HeldOut]:
    """The block's pairs with stimuli in other orders.

    Parameters
    ----------
    products : for each pair (K, V, N_x, N_y), of each fold and draw.
    beside : of the same draws, see :func:`beside`.
    """
    parts = products[0][None] if len(products) == 1 else torch.stack(products)
    training, held_out = tile.paired(block, parts, parts)
    return training, replace(held_out, beside=beside)


def beside(fold: Tensor, orders: Sequence[Tensor], positions: int) -> tuple[Tensor, Tensor]:
    """Where stimulus ``order[i]`` of X stands beside stimulus i of Y: of each fold's samples of X those of Y.

    Returns
    -------
    (K, V, T) the place in its fold of Y's sample beside each of X's, and of X's beside each of Y's; places that a
    smaller fold does not have stand beside themselves.
    """
    counts = torch.bincount(fold)
    members = [(fold == k).nonzero().squeeze(1) for k in range(len(counts))]
    place = torch.empty_like(fold)
    x_of_y = torch.arange(int(counts.max())).repeat(len(counts), len(orders), 1)
    for own in members:
        place[own] = torch.arange(len(own))
    for k, own in enumerate(members):
        x_of_y[k, :, : len(own)] = place[torch.stack([order[own] for order in orders])]
    samples = (x_of_y[..., None] * positions + torch.arange(positions)).flatten(-2)
    return samples.argsort(dim=-1), samples


def rotations(stacks: list[Layers], seed: int, draws: range) -> dict[Layers, Tensor]:
    """(L, V, N, N) for each stack of layers; the same for layers of as many live units."""
    always = {stack: stack.live.all(dim=1).cpu() for stack in stacks}
    counts = {int(n) for live in always.values() for n in live.sum(dim=1)}
    made = {n: torch.stack([nulls.orthogonal(n, seed, draw) for draw in draws]) for n in counts}
    found = {}
    for stack in stacks:
        layers = []
        for live in always[stack]:
            turn = made[int(live.sum())]
            if not live.all():
                places, part = live.nonzero(), turn
                turn = torch.eye(len(live), dtype=part.dtype).repeat(len(draws), 1, 1)
                turn[:, places, places.T] = part
            layers.append(turn)
        found[stack] = stacked(layers).to(stack.live.device)
    return found


def rotated(tile: Tile, block: Block, direction: str, turns: Tensor) -> tuple[Training, HeldOut]:
    """The block's pairs with the units of the source turned, by (P or 1, V, N, N); the tile holds out every fold.

    What is turned is the moments of each fold: sums of them serve all training sets. Where a fold has fewer samples
    than the source has units and they are kept, its samples are turned.
    """
    end, (stack, index) = (0, block.x) if direction == "x->y" else (1, block.y)
    units, tests = list(block.training), list(block.held_out)
    turn, squares = turns[:, None], None  # the same at every fold
    if HeldOut(tests[end], tests[1 - end], turns).few:
        source, target = tile.kept(block)[:: 1 - 2 * end]  # (P, K, T, N)
        turned = (source.flatten(1, 2)[:, None] @ turns).unflatten(2, source.shape[1:3]).transpose(1, 2)
        squares = turned.square().sum(dim=-2)
        sides = (turned, target[:, :, None])[:: 1 - 2 * end]
        parts = sides[0].mT @ sides[1]
    else:
        parts = torch.stack([tile.moments.cross[pair] for pair in block.pairs])[:, :, None]
        parts = turn.mT @ parts if end == 0 else parts @ turn
    units[end], tests[end] = _turned(units[end], tests[end], stack, index, turns, squares)
    train, test = cross_scatters(parts, tile.held, units[0], units[1], parts, tests)
    return Training(units[0], units[1], train), HeldOut(tests[0], tests[1], test)


def _turned(
    units: TrainingUnits,
    test: HeldOutUnits,
    stack: Layers,
    index: Tensor | None,
    turns: Tensor,
    squares: Tensor | None,
) -> tuple[TrainingUnits, HeldOutUnits]:
    """The units after the rotations: of QᵀSQ only the diagonal is needed, fold by fold.

    Parameters
    ----------
    squares : (P, F, V, N) sums of squares of the turned samples, where those are at hand.
    """
    turn = turns[:, None]
    always = units.live.all(dim=1, keepdim=True)  # the others stay as they are
    level = (stack.shift if index is None else stack.shift[index]).unsqueeze(2)
    vectors = [test.mean, units.mean, test.shift, level]
    moved = (torch.cat(vectors, dim=1).transpose(1, 2) @ turns).transpose(1, 2)
    mean, trained_mean, shift, level = moved.split([len(one[0]) for one in vectors], dim=1)
    if squares is None:
        assert test.scatter is not None
        variance = quadratic(test.scatter, turn.expand(*test.scatter.shape[:2], *turn.shape[2:]))
    else:
        variance = (squares - test.n * mean.square()) * units.live
    varies = alive(variance, test.n, mean, level) & units.live
    apart = mean[:, None] - trained_mean[:, :, None]  # (P, held out, of the fold, V, N)
    within = variance[:, None] + test.n[None, None] * apart.square()
    other = ~torch.eye(within.shape[1], dtype=torch.bool, device=within.device)[..., None, None]
    trained = torch.where(always, (within * other).sum(dim=2), units.variance)
    turned_units = replace(units, mean=trained_mean, variance=trained, scatter=None, eigen=None)
    turned_test = HeldOutUnits(test.n, mean, variance, shift, varies, test.scatter, turned=turn)
    return turned_units, turned_test
