"""Which networks the seeds of a config name: one rule, for single runs and for populations."""

from __future__ import annotations

from convergence.models.options import SeedsConfig
from convergence.system.errors import UserError


def named(seeds: SeedsConfig) -> list[tuple[int, int]]:
    """Seeds of initialisation and of data order of each network; a single seed of either holds for all.

    Raises
    ------
    UserError
        If there is no telling which belongs to which, or a network is named twice.
    """
    inits, orders = list(seeds.init), list(seeds.order or seeds.init)
    if len(inits) != len(orders) and 1 not in (len(inits), len(orders)):
        raise UserError(
            f"model.seeds.init has {len(inits)} seeds and model.seeds.order has {len(orders)}: give as many, one of "
            "either that holds for all, or leave order out."
        )
    count = max(len(inits), len(orders))
    pairs = list(zip(inits * (count // len(inits)), orders * (count // len(orders)), strict=True))
    if len(set(pairs)) < count:
        raise UserError(
            f"model.seeds.init={inits}{f' with model.seeds.order={orders}' if seeds.order else ''} names a network "
            "twice: give different seeds."
        )
    return pairs


def labels(pairs: list[tuple[int, int]]) -> list[str]:
    """A name for each: ``seed0``, or ``init0-order1`` where the two seeds differ in any of them."""
    together = all(init == order for init, order in pairs)
    return [f"seed{init}" if together else f"init{init}-order{order}" for init, order in pairs]
