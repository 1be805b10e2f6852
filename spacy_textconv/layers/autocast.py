"""Automatic mixed precision, and how to do without it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Compute in the dtype of the tensors, although the code around may let torch choose another.

    Where it doesn't, nothing is entered. The end of a `torch.autocast` takes a lock, and a process
    that is forked while another thread holds it would wait for it forever.
    """
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
