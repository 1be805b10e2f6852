"""Where Thinc meets torch: a torch module as a citizen of a Thinc model."""

import copy
import os
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import accumulate
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NoReturn,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    cast,
)

import safetensors.torch
import torch
from safetensors import SafetensorError
from thinc.api import (
    CupyOps,
    Model,
    Optimizer,
    Shim,
    get_current_ops,
    set_dropout_rate,
    set_gpu_allocator,
)
from thinc.types import Floats2d, FloatsXd
from thinc.util import get_torch_default_device, torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Errors
from ..layers.autocast import without_autocast
from .cache import TypeCache

# A forked process has none of torch's threads, and waits for them forever as soon as it computes
# with more than one. `nlp.pipe(n_process=2)` forks, so let each process compute with one thread,
# as the workers of torch's DataLoader do.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# Older versions of torch can't tell.
_capabilities: Dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
CPU_HAS_AMX = _capabilities.get("amx_bf16", False)

BackpropT = Callable[[Tensor], Optional[Tensor]]
ModelT = TypeVar("ModelT", bound=Model)


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
        weights. Its output is a float tensor. A gradient is computed for its first argument; it
        takes any further ones as they are.
    mixed_precision (bool): Whether to compute in bfloat16 where that is safe and the device has
        units for it: GPUs since Ampere and CPUs with AMX. Parameters, gradients and outputs stay
        float32, and bfloat16 has the range of float32, so no gradient has to be scaled.
    follow_dropout (Sequence[Type[nn.Module]]): The layers in the module whose rate `p` is that of
        `[training] dropout`. All others keep the rates that they were built with.
    cache (Optional[TypeCache]): Outputs of the module, which are forgotten whenever its weights
        change.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        *,
        mixed_precision: bool = False,
        follow_dropout: Sequence[Type[nn.Module]] = (),
        cache: Optional[TypeCache] = None,
    ):
        # What a program draws after it has built a pipeline doesn't depend on that. The weights to
        # be trained are drawn in `initialize`.
        with building(), torch.random.fork_rng(devices=[]):
            module = build()
        super().__init__(module)
        self.build = build
        self.mixed_precision = mixed_precision
        self.follow_dropout = tuple(follow_dropout)
        self.cache = cache
        self.noise = True
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
        self._forget()

    def predict(self, x: Tensor, *args: Any) -> Tensor:  # type: ignore[override]
        """Apply the module, without dropout and without a backward pass."""
        with self.predicting():
            return self.module(x, *args).float()

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Compute with the module's methods, without a backward pass."""
        with torch.inference_mode(), self._autocast():
            yield

    @gradients()
    def begin_update(  # type: ignore[override]
        self, x: Tensor, *args: Any, dropout: Optional[float] = None
    ) -> Tuple[Tensor, BackpropT]:
        """Apply the module so that it can be trained, or, where `noise` is off, so that what it
        predicts has a gradient.

        x (Tensor): The input, which a gradient is computed for unless it holds whole numbers.
        dropout (Optional[float]): The rate of the layers in `follow_dropout`.
        RETURNS (Tuple[Tensor, Callable[[Tensor], Optional[Tensor]]]): The output, and a function
            from its gradient to that of the input (None for one of whole numbers), which adds up
            the gradients of the parameters.
        """
        if x.is_floating_point():
            x.requires_grad_()
        if dropout is not None:
            for submodule in self.module.modules():
                if isinstance(submodule, self.follow_dropout):
                    submodule.p = dropout  # type: ignore[assignment]
        self.module.train(self.noise)
        try:
            with self._autocast():
                y = self.module(x, *args).float()
        finally:
            self.module.eval()

        def backprop(dy: Tensor) -> Optional[Tensor]:
            with gradients(), without_autocast(self.device):
                y.backward(dy)
            return x.grad

        return y.detach(), backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let the optimizer change the parameters, in place, and forget the gradients."""
        for name, param in self.module.named_parameters():
            if param.grad is None:
                continue
            # As one dimension, because Thinc's optimizers refuse scalars.
            weights = param.data.view(-1)
            updated, _ = optimizer(
                (self.id, name),
                cast(FloatsXd, torch2xp(weights)),
                cast(FloatsXd, torch2xp(param.grad.reshape(-1))),
            )
            updated = xp2torch(updated, device=param.device)
            if updated.data_ptr() != weights.data_ptr():
                weights.copy_(updated)
            param.grad = None
        self._forget()

    @contextmanager
    def use_params(self, params: Dict[Any, FloatsXd]) -> Iterator[None]:
        """Use other parameters for a while, such as the averages of an optimizer."""
        backup = {}
        for name, param in self.module.named_parameters():
            if (self.id, name) in params:
                backup[name] = param.data.clone()
                values = xp2torch(params[(self.id, name)], device=param.device)
                param.data.view(-1).copy_(values.view(-1))
        self._forget()
        try:
            yield
        finally:
            for name, values in backup.items():
                self.module.get_parameter(name).data.copy_(values)
            self._forget()

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
        self._forget()

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
        self._forget()
        return self

    def _renew_id(self) -> None:
        """Take an id that no optimizer knows."""
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    def _forget(self) -> None:
        if self.cache is not None:
            self.cache.clear()

    def _autocast(self) -> AbstractContextManager:
        if self.mixed_precision and has_bfloat16_units(self.device):
            return torch.autocast(self.device.type, torch.bfloat16)
        return without_autocast(self.device)


def initialize_modules(model: Model, X: Any = None, Y: Any = None) -> None:
    """Draw new weights for the torch modules of a layer: what `Model.initialize` calls."""
    for shim in model.shims:
        cast(TorchShim, shim).initialize()


def has_bfloat16_units(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 by itself. Older GPUs only emulate it."""
    if device.type == "cuda":
        return _gpu_has_bfloat16_units(device)
    return device.type == "cpu" and CPU_HAS_AMX


@cache
def _gpu_has_bfloat16_units(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def copy_without_noise(model: ModelT) -> ModelT:
    """Copy a model so that `begin_update` of the copy computes what `predict` does: no module is in
    training mode, and nothing is dropped, whatever the rates are. So a prediction can be
    differentiated, and the gradients of the parameters are left in the copy.

    model (Model): The model.
    RETURNS (Model): The copy.
    """
    copied = model.copy()
    set_dropout_rate(copied, 0.0)
    for node in copied.walk():
        for shim in node.shims:
            if isinstance(shim, TorchShim):
                shim.noise = False
    return copied


def split_rows(Y: Tensor, lengths: Sequence[int]) -> List[Floats2d]:
    """Split rows that lie end to end into those of each document.

    Y (Tensor): The rows. *Shape:* (rows, width)
    lengths (Sequence[int]): How many of them each document has.
    RETURNS (List[Floats2d]): Views of the rows.
    """
    rows = cast(Floats2d, torch2xp(Y))
    stops = accumulate(lengths)
    return [rows[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]


def no_backprop(d_outputs: Any) -> NoReturn:
    """Refuse the gradient of a prediction: what a layer returns in the place of its backprop."""
    raise ValueError(Errors.E011)
