"""SGD with momentum and AdamW, by the functions beneath PyTorch's classes.

The classes import PyTorch's compiler when they are made, which takes longer than all of PyTorch; every training process
and every test would pay for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from convergence.models.options import Optimizer, TrainingConfig

_SECOND, _EPSILON = 0.999, 1e-8  # of AdamW, as PyTorch has them


class Optimiser:
    """Moves a network's parameters along their gradients; those of one dimension (biases, norms) are not decayed."""

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._parameters, self._config = list(model.parameters()), config
        self._moments: dict[int, list[Tensor | None]] = {}  # of the parameters that have had a gradient

    def forget(self) -> None:
        """Take the gradients away."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step at this learning rate; parameters without a gradient stay."""
        for decayed in (True, False):
            mine = [i for i, p in enumerate(self._parameters) if p.grad is not None and (p.ndim > 1) == decayed]
            if mine:
                self._move(mine, rate, self._config.weight_decay if decayed else 0.0)

    def _move(self, mine: list[int], rate: float, decay: float) -> None:
        parameters: list[Tensor] = [self._parameters[i] for i in mine]
        gradients = [p.grad for p in parameters if p.grad is not None]
        first = self._config.momentum
        common: dict[str, Any] = {"lr": rate, "weight_decay": decay, "maximize": False}
        if self._config.optimizer is Optimizer.adamw:
            for i, p in zip(mine, parameters, strict=True):
                if i not in self._moments:
                    self._moments[i] = [torch.zeros_like(p), torch.zeros_like(p), torch.tensor(0.0)]
            means, squares, steps = (list(m) for m in zip(*(self._moments[i] for i in mine), strict=True))
            betas = {"beta1": first, "beta2": _SECOND, "eps": _EPSILON, "amsgrad": False}
            adamw(parameters, gradients, means, squares, [], steps, **betas, **common)  # type: ignore[arg-type]
            return
        momenta = [self._moments.get(i, [None])[0] for i in mine]
        sgd(parameters, gradients, momenta, momentum=first, dampening=0.0, nesterov=first > 0, **common)
        self._moments.update({i: [m] for i, m in zip(mine, momenta, strict=True)})

    def state_dict(self) -> dict[int, list[Tensor | None]]:
        """What :meth:`load_state_dict` goes on from, by the parameters' places."""
        return dict(self._moments)

    def load_state_dict(self, state: dict[int, list[Tensor | None]]) -> None:
        """Go on from what :meth:`state_dict` gave, for the same network and options.

        Raises
        ------
        ValueError
            If the state is another network's or another optimiser's.
        """
        count = 3 if self._config.optimizer is Optimizer.adamw else 1
        for i, moments in state.items():
            if not isinstance(i, int) or i >= len(self._parameters) or len(moments) != count:
                raise ValueError("the optimiser's state is of another network or optimiser")
        for i, moments in state.items():
            like = self._parameters[i]
            self._moments[i] = [m if m is None or not m.ndim else m.to(like.device) for m in moments]
