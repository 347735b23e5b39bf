"""Modules that differ in their numbers alone, applied at once: one large product takes the place of many small ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


def apply_each(modules: nn.ModuleDict, inputs: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """The output of every module for its own inputs; modules whose inputs have the same shapes are applied together.

    All modules have the same structure; they may differ in parameters and buffers. Random numbers differ as well.
    """
    alike: defaultdict[tuple[torch.Size, ...], list[str]] = defaultdict(list)
    for name, given in inputs.items():
        alike[tuple(part.shape for part in given)].append(name)
    found: dict[str, Tensor] = {}
    for names in alike.values():
        found |= (
            _stacked(modules, inputs, names) if len(names) > 1 else {names[0]: modules[names[0]](*inputs[names[0]])}
        )
    return {name: found[name] for name in inputs}


def _stacked(modules: nn.ModuleDict, inputs: Mapping[str, Sequence[Tensor]], names: list[str]) -> dict[str, Tensor]:
    one = modules[names[0]]
    tensors = [{**dict(modules[name].named_parameters()), **dict(modules[name].named_buffers())} for name in names]
    whole = {key: torch.stack([own[key] for own in tensors]) for key in tensors[0]}
    given = tuple(torch.stack(parts) for parts in zip(*(inputs[name] for name in names), strict=True))

    def apply(own: dict[str, Tensor], parts: tuple[Tensor, ...]) -> Tensor:
        output: Tensor = functional_call(one, own, parts)
        return output

    outputs: Tensor = torch.vmap(apply, randomness="different")(whole, given)
    return dict(zip(names, outputs.unbind(), strict=True))
