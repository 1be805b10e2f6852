"""A torch module and two converters as a layer of Thinc."""

from functools import partial
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple, cast

from thinc.api import Model
from thinc.types import Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor, nn

from ..errors import Errors
from .rows import Rows, flatten_rows
from .shim import BackpropT, OutputsT, TorchShim, gradients

ForwardT = Callable[[Model, Any, bool], Tuple[Any, Callable[[Any], Any]]]
# From the input of a layer to the arguments of its module, and from the gradients of these to that
# of the input.
ConvertInputsT = Callable[
    [Model, Any], Tuple[Sequence[Any], Callable[[List[Optional[Tensor]]], Any]]
]
# From the input of a layer and the output of its module to the output of the layer, and from the
# gradient of that to those of the module's output.
ConvertOutputsT = Callable[[Model, Any, Any], Tuple[Any, Callable[[Any], Sequence[Tensor]]]]


def wrap_module(
    name: str,
    build: Callable[[], nn.Module],
    forward: ForwardT,
    *,
    dims: Dict[str, Optional[int]],
    attrs: Optional[Dict[str, Any]] = None,
    mixed_precision: bool = False,
) -> Model:
    """Build a layer around a torch module. `[training] dropout` reaches what follows it in there.

    name (str): The name of the layer.
    build (Callable[[], nn.Module]): Builds the module.
    forward (Callable): What the layer does: `converting` with two converters, or a function that
        applies the module itself, with `apply_module`.
    dims (Dict[str, Optional[int]]): The sizes of the layer.
    attrs (Optional[Dict[str, Any]]): The attributes of the layer.
    mixed_precision (bool): Whether to compute in bfloat16 where the device has units for it.
    RETURNS (Model): The layer.
    """
    return Model(
        name,
        forward,
        init=initialize_module,
        dims=dims,
        # Thinc writes `[training] dropout` to this attribute.
        attrs={**(attrs or {}), "dropout_rate": 0.0},
        shims=[TorchShim(build, mixed_precision=mixed_precision)],
    )


def converting(convert_inputs: ConvertInputsT, convert_outputs: ConvertOutputsT) -> ForwardT:
    """Make the forward pass of a layer that converts its input, applies its module, and converts
    what comes out.

    convert_inputs (Callable): Turns the layer and its input into the arguments of the module, and
        a function from the gradients of these to that of the input.
    convert_outputs (Callable): Turns the layer, its input and what the module gives out into the
        output, and a function from its gradient to a list of those of what the module gives out.
    RETURNS (Callable): The forward pass.
    """
    forward = partial(_forward, convert_inputs, convert_outputs)
    # Thinc's data validation asks for the name.
    forward.__name__ = _forward.__name__  # type: ignore[attr-defined]
    return forward


@gradients()
def _forward(
    convert_inputs: ConvertInputsT,
    convert_outputs: ConvertOutputsT,
    model: Model,
    X: Any,
    is_train: bool,
) -> Tuple[Any, Callable[[Any], Any]]:
    inputs, convert_d_inputs = convert_inputs(model, X)
    outputs, torch_backprop = apply_module(model, inputs, is_train)
    Y, convert_d_outputs = convert_outputs(model, X, outputs)
    if not is_train:
        return Y, no_backprop
    return Y, lambda dY: convert_d_inputs(torch_backprop(*convert_d_outputs(dY)))


def apply_module(model: Model, inputs: Sequence[Any], is_train: bool) -> Tuple[OutputsT, BackpropT]:
    """Apply the module of a layer, for a prediction or for an update.

    model (Model): The layer.
    inputs (Sequence[Any]): The arguments of the module, on its device.
    is_train (bool): Whether it is for an update.
    RETURNS (Tuple[Union[Tensor, Tuple[Tensor, ...]], Callable]): What `TorchShim.begin_update`
        gives. There is no gradient of a prediction.
    """
    shim = get_shim(model)
    if is_train:
        return shim.begin_update(*inputs, dropout=model.attrs["dropout_rate"])
    return shim.predict(*inputs), no_backprop


def no_backprop(*d_outputs: Any) -> NoReturn:
    """Refuse the gradient of a prediction: what a layer returns in the place of its backprop."""
    raise ValueError(Errors.E011)


def initialize_module(model: Model, X: Any = None, Y: Any = None) -> None:
    """Draw new weights for the module of a layer: what `Model.initialize` calls."""
    get_shim(model).initialize()


def get_shim(model: Model) -> TorchShim:
    """Get what holds the module of a layer."""
    return cast(TorchShim, model.shims[0])


def get_module(model: Model) -> Optional[nn.Module]:
    """Get the module of a layer, if it has one."""
    shims = [shim for shim in model.shims if isinstance(shim, TorchShim)]
    return shims[0].module if shims else None


def to_tensor(model: Model, X: Any) -> Tensor:
    """Turn an array into a tensor on the device of a layer's module, over the same numbers if they
    are there already."""
    return xp2torch(model.ops.as_contig(X), device=get_shim(model).device)


def array_to_tensor(
    model: Model, X: Floats2d
) -> Tuple[List[Tensor], Callable[[List[Optional[Tensor]]], Floats2d]]:
    """Convert the input of a layer that takes one array."""
    return [to_tensor(model, X)], lambda grads: cast(Floats2d, torch2xp(cast(Tensor, grads[0])))


def tensor_to_array(
    model: Model, X: Any, Y: Tensor
) -> Tuple[Floats2d, Callable[[Floats2d], List[Tensor]]]:
    """Convert the output of a layer that gives out one array."""
    return cast(Floats2d, torch2xp(Y)), lambda dY: [to_tensor(model, dY)]


def tensor_to_rows(
    model: Model, X: Sequence[Any], Y: Tensor
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Tensor]]]:
    """Convert the output of a layer that gives out as many rows for each document as it has of
    what came in."""
    Ys = split_rows(Y, [len(x) for x in X])
    return Ys, lambda dYs: [to_tensor(model, flatten_rows(model.ops, dYs, Y.shape[1]))]


def split_rows(Y: Tensor, lengths: Sequence[int]) -> List[Floats2d]:
    """Split rows that lie end to end into those of each document.

    Y (Tensor): The rows. *Shape:* (rows, width)
    lengths (Sequence[int]): How many of them each document has.
    RETURNS (List[Floats2d]): Views of the rows, with what they are views of.
    """
    return Rows(cast(Floats2d, torch2xp(Y)), lengths)
