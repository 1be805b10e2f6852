"""What a device can do, and what a process may ask of it."""

import os
from functools import cache
from typing import Any, Dict

import torch

# A forked process has none of torch's threads, and waits for them forever as soon as it computes
# with more than one. `nlp.pipe(n_process=2)` forks, so let each process compute with one thread,
# as the workers of torch's DataLoader do.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# Older versions of torch can't tell.
_capabilities: Dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
# AMX of Intel's, or a dot product of AVX-512, which AMD's have since Zen 4.
CPU_HAS_BFLOAT16_UNITS = any(_capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def has_bfloat16_units(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 by itself. Older GPUs only emulate it."""
    if device.type == "cuda":
        return _gpu_has_bfloat16_units(device)
    return device.type == "cpu" and CPU_HAS_BFLOAT16_UNITS


@cache
def _gpu_has_bfloat16_units(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)
