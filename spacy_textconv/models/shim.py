"""Where Thinc meets torch: a torch module as a citizen of a Thinc model."""

import copy
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from thinc.api import CupyOps, Optimizer, Shim, get_current_ops, set_gpu_allocator
from thinc.optimizers import KeyT
from thinc.types import FloatsXd
from thinc.util import get_torch_default_device, torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Errors
from ..layers.autocast import without_autocast
from ..layers.dropout import set_dropout
from .adam import adam_step, is_adam
from .device import has_bfloat16_units

# What a module gives out, and what takes its gradient back to the inputs.
OutputsT = Union[Tensor, Tuple[Tensor, ...]]
BackpropT = Callable[..., List[Optional[Tensor]]]


@contextmanager
def gradients() -> Iterator[None]:
    """Let all that is computed have a gradient, although the code around may have turned gradients
    off: by `torch.no_grad` or `torch.set_grad_enabled`, or by `torch.inference_mode`, for good for
    the tensors that are made under it. Also decorates functions."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def building() -> Iterator[None]:
    """Build modules whose parameters have gradients, on the CPU, although other code may have set
    another default device."""
    with gradients(), torch.device("cpu"):
        yield


class TorchShim(Shim):
    """Lets Thinc train, average, move, copy and save a torch module.

    In contrast to Thinc's own `PyTorchShim`, averaged weights are applied, predictions run in
    inference mode and never switch the module's state (so threads can share it), a copy has
    its own optimizer state, weights are saved as safetensors, and `[training] dropout` reaches
    the module. Whatever the default dtype of torch is, the weights are float32.

    build (Callable[[], nn.Module]): Builds the module, with all its sizes set and with random
        weights. It takes any number of arguments, and gives out a float tensor or a tuple of them.
    mixed_precision (bool): Whether to compute in bfloat16 where that is safe and the device has
        units for it: GPUs since Ampere, and CPUs with AMX or AVX512-BF16. Parameters, gradients
        and outputs stay float32, and bfloat16 has the range of float32, so no gradient has to be
        scaled.

    training_mode (bool): Whether the module is in training mode in `begin_update`.
    version (int): A number that goes up whenever the weights change or move.
    """

    def __init__(self, build: Callable[[], nn.Module], *, mixed_precision: bool = False):
        # What a program draws after it has built a pipeline doesn't depend on that. The weights to
        # be trained are drawn in `initialize`.
        with building(), torch.random.fork_rng(devices=[]):
            module = build()
        super().__init__(module)
        self.build = build
        self.mixed_precision = mixed_precision
        self.training_mode = True
        self.version = 0
        # Kept, because Thinc's default device is that of the calling thread.
        self.device = get_torch_default_device()
        with gradients():
            module.to(self.device, torch.float32).eval()
        if isinstance(get_current_ops(), CupyOps):
            set_gpu_allocator("pytorch")

    @property
    def module(self) -> nn.Module:
        """The torch module."""
        return self._model

    def initialize(self) -> None:
        """Draw new weights. Nothing is left of what was trained, not even in an optimizer."""
        with building():
            self.module.load_state_dict(self.build().state_dict())
        self.module.zero_grad()
        self._renew_id()
        self.version += 1

    def predict(self, *inputs: Any) -> OutputsT:  # type: ignore[override]
        """Apply the module, without dropout and without a backward pass.

        inputs (Any): The arguments of the module.
        RETURNS (Union[Tensor, Tuple[Tensor, ...]]): Its output, in float32.
        """
        with self.predicting():
            return _map(Tensor.float, self.module(*inputs))

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Compute with the module's methods, without a backward pass."""
        with torch.inference_mode(), self._autocast():
            yield

    @gradients()
    def begin_update(  # type: ignore[override]
        self, *inputs: Any, dropout: float = 0.0
    ) -> Tuple[OutputsT, BackpropT]:
        """Apply the module so that it can be trained, or, where `training_mode` is off, so that
        what it predicts has a gradient.

        inputs (Any): The arguments of the module. Those that are float tensors get gradients.
        dropout (float): The rate of the dropout that follows the training.
        RETURNS (Tuple[Union[Tensor, Tuple[Tensor, ...]], Callable]): The output, in float32, and a
            function that takes a gradient for each of its tensors, adds up the gradients of the
            parameters, and gives a list with one for each input (None if it gets none).
        """
        inputs = tuple(_with_gradient(x) for x in inputs)
        set_dropout(self.module, dropout)
        self.module.train(self.training_mode)
        try:
            with self._autocast():
                outputs = _map(Tensor.float, self.module(*inputs))
        finally:
            self.module.eval()

        def backprop(*d_outputs: Tensor) -> List[Optional[Tensor]]:
            with gradients(), without_autocast(self.device):
                torch.autograd.backward(outputs, d_outputs)
            return [x.grad if isinstance(x, Tensor) else None for x in inputs]

        return _map(Tensor.detach, outputs), backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let the optimizer change the parameters, in place, and forget the gradients."""
        learned = {
            (self.id, name): param
            for name, param in self.module.named_parameters()
            if param.grad is not None
        }
        # On other devices, arrays of the optimizer can't share the memory of tensors.
        if is_adam(optimizer) and self.device.type in ("cpu", "cuda"):
            adam_step(optimizer, learned)
        else:
            for key, param in learned.items():
                _update(optimizer, key, param)
        self.module.zero_grad()
        self.version += 1

    @contextmanager
    def use_params(self, params: Dict[Any, FloatsXd]) -> Iterator[None]:
        """Use other parameters for a while, such as the averages of an optimizer."""
        backup = {}
        for name, param in self.module.named_parameters():
            if (self.id, name) in params:
                backup[name] = param.data.clone()
                values = xp2torch(params[(self.id, name)], device=param.device)
                param.data.view(-1).copy_(values.view(-1))
        self.version += 1
        try:
            yield
        finally:
            for name, values in backup.items():
                self.module.get_parameter(name).data.copy_(values)
            self.version += 1

    @gradients()
    def copy(self) -> "TorchShim":
        """Copy the module. The copy has an id of its own, and so its own optimizer state."""
        copied = copy.deepcopy(self)
        copied._renew_id()
        return copied

    @gradients()
    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module to the CPU or to a GPU."""
        if device_type not in ("cpu", "gpu"):
            raise ValueError(Errors.E009.format(value=device_type))
        self.device = torch.device("cpu" if device_type == "cpu" else f"cuda:{device_id}")
        self.module.to(self.device)
        self.version += 1

    def to_bytes(self) -> bytes:
        """Save the weights in the safetensors format."""
        state = self.module.state_dict()
        return safetensors.torch.save({name: value.cpu() for name, value in state.items()})

    def from_bytes(self, data: bytes) -> "TorchShim":
        """Load weights in the safetensors format onto the module's device. Nothing is changed
        unless all of them fit."""
        try:
            loaded = safetensors.torch.load(data)
        except (SafetensorError, TypeError) as err:
            raise ValueError(Errors.E007.format(reason=err)) from err
        state = self.module.state_dict()
        missing, unknown = state.keys() - loaded.keys(), loaded.keys() - state.keys()
        if missing or unknown:
            reason = f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            raise ValueError(Errors.E008.format(reason=reason))
        for name, value in loaded.items():
            if value.shape != state[name].shape:
                reason = f"'{name}' has the shape {tuple(value.shape)} in the file and "
                reason += f"{tuple(state[name].shape)} in the network"
                raise ValueError(Errors.E008.format(reason=reason))
        for name, buffer in self.module.named_buffers():
            if name in loaded and not torch.equal(loaded[name], buffer.cpu()):
                reason = f"`{name}` is {loaded[name].tolist()} in the file and "
                reason += f"{buffer.tolist()} in the network"
                raise ValueError(Errors.E008.format(reason=reason))
        self.module.load_state_dict(loaded)
        self.version += 1
        return self

    def _renew_id(self) -> None:
        """Take an id that no optimizer knows."""
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    def _autocast(self) -> AbstractContextManager:
        if self.mixed_precision and has_bfloat16_units(self.device):
            return torch.autocast(self.device.type, torch.bfloat16)
        return without_autocast(self.device)


def _update(optimizer: Optimizer, key: KeyT, param: nn.Parameter) -> None:
    """Let any optimizer change a parameter, in place."""
    # As one dimension, because Thinc's optimizers refuse scalars.
    weights = param.data.view(-1)
    updated, _ = optimizer(
        key,
        cast(FloatsXd, torch2xp(weights)),
        cast(FloatsXd, torch2xp(cast(Tensor, param.grad).reshape(-1))),
    )
    updated = xp2torch(updated, device=param.device)
    if updated.data_ptr() != weights.data_ptr():
        weights.copy_(updated)


def _with_gradient(x: Any) -> Any:
    """Let a float tensor get a gradient, and pass anything else on."""
    if isinstance(x, Tensor) and x.is_floating_point():
        # Another tensor over the same numbers: that of the caller stays as it is.
        return x.detach().requires_grad_()
    return x


def _map(function: Callable[[Tensor], Tensor], outputs: OutputsT) -> OutputsT:
    """Apply a function to each of the tensors that a module gives out."""
    return function(outputs) if isinstance(outputs, Tensor) else tuple(map(function, outputs))
