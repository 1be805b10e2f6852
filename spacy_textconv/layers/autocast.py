"""Automatic mixed precision, and how to do without it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Compute in the dtype of the tensors, although the code around may let torch choose another.

    Where it doesn't, nothing is entered. The end of a `torch.autocast` takes a lock, and a process
    that is forked while another thread holds it would wait for it forever.
    """
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def widen(x: Tensor) -> Tensor:
    """Give numbers the bits of float32, if they have fewer. In bfloat16, probabilities don't add up
    to 1, and the most probable symbols of many are as probable as each other."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
