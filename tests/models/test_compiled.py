"""Compiled and scripted modules, whose layers cannot be tapped."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convergence.models.network import describe
from convergence.models.outputs import refuse_compiled
from convergence.system.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def test_compiled_and_scripted_parts_are_refused_with_the_way_out() -> None:
    plain = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    refuse_compiled(plain, "net")
    example = torch.zeros(1, 2)
    in_place = nn.Sequential(nn.Linear(2, 2))
    in_place[0].compile()
    for model, what in (
        (torch.jit.script(plain), "net is compiled"),
        (torch.compile(plain), "net is compiled"),
        (nn.Sequential(plain, torch.jit.script(nn.Linear(2, 2))), "'1' of net is compiled"),
        (in_place, "'0' of net is compiled"),
    ):
        with pytest.raises(UserError, match=f"{what} or scripted.*give the plain module"):
            describe(model, example, None, None, "net")  # type: ignore[arg-type]
