"""Adam as Thinc computes it, for all parameters of a module at once."""

from typing import Dict, List, Mapping, cast

import torch
from thinc.api import Optimizer
from thinc.optimizers import KeyT
from thinc.types import FloatsXd
from thinc.util import torch2xp, xp2torch
from torch import Tensor
from torch.optim.adam import adam

# What Thinc's `update_averages` uses.
MAX_DECAY = 0.9999


def is_adam(optimizer: Optimizer) -> bool:
    """Tell whether an optimizer is Thinc's Adam, and not another, nor a subclass of it."""
    # Thinc takes any function for an optimizer.
    if type(optimizer) is not Optimizer:
        return False
    return optimizer.b1 > 0.0 and optimizer.b2 > 0.0 and not optimizer.use_radam


def adam_step(optimizer: Optimizer, parameters: Mapping[KeyT, Tensor]) -> None:
    """Do what Thinc's Adam does with each parameter that has a gradient, with few calls of torch,
    each for many parameters. The moments, the averages and the numbers of updates are those in the
    dictionaries of the optimizer.

    Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization", with decoupled weight decay
    (Loshchilov & Hutter 2019), as Thinc does it: after the step.

    optimizer (Optimizer): Thinc's Adam.
    parameters (Mapping[KeyT, Tensor]): The parameters by the keys under which the optimizer knows
        them. They are changed in place.
    """
    groups: Dict[int, List[KeyT]] = {}
    for key in parameters:
        optimizer.nr_update[key] += 1
        groups.setdefault(optimizer.nr_update[key], []).append(key)
    # Parameters that weren't always updated have another bias correction.
    for updates, keys in groups.items():
        _update_group(optimizer, updates, keys, [parameters[key] for key in keys])


@torch.no_grad()
def _update_group(
    optimizer: Optimizer, updates: int, keys: List[KeyT], parameters: List[Tensor]
) -> None:
    weights = [parameter.data.view(-1) for parameter in parameters]
    gradients = [cast(Tensor, parameter.grad).reshape(-1) for parameter in parameters]
    rate = float(optimizer.learn_rate)
    if optimizer.L2 and not optimizer.L2_is_weight_decay:
        torch._foreach_add_(gradients, weights, alpha=optimizer.L2)
    if optimizer.grad_clip:
        # Of each parameter by itself.
        norms = torch.stack(torch._foreach_norm(gradients))
        torch._foreach_mul_(gradients, (optimizer.grad_clip / norms).clamp_(max=1.0).unbind())
    device = weights[0].device
    adam(
        weights,
        gradients,
        _get_state(optimizer.mom1, keys, weights),
        _get_state(optimizer.mom2, keys, weights),
        [],
        # Counted up by the call.
        list(torch.full((len(keys),), updates - 1.0, dtype=torch.float32, device=device).unbind()),
        fused=True,
        amsgrad=False,
        maximize=False,
        weight_decay=0.0,
        lr=rate,
        beta1=optimizer.b1,
        beta2=optimizer.b2,
        # Thinc adds it to the root of the second moment before its bias is corrected, torch after.
        eps=optimizer.eps / (1.0 - optimizer.b2**updates) ** 0.5,
    )
    if optimizer.L2 and optimizer.L2_is_weight_decay:
        torch._foreach_mul_(weights, 1.0 - rate * optimizer.L2)
    if optimizer.averages is not None:
        decay = min((1.0 + updates) / (10.0 + updates), MAX_DECAY)
        torch._foreach_lerp_(_get_state(optimizer.averages, keys, weights), weights, 1.0 - decay)


def _get_state(
    store: Dict[KeyT, FloatsXd], keys: List[KeyT], weights: List[Tensor]
) -> List[Tensor]:
    """Look up arrays of the optimizer, which are zeros at first, as tensors of the same memory."""
    for key, weight in zip(keys, weights, strict=True):
        if key not in store:
            store[key] = cast(FloatsXd, torch2xp(torch.zeros_like(weight)))
    return [xp2torch(store[key], device=weights[0].device) for key in keys]
