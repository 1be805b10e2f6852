"""How far the encoders of a pipeline see, by their shapes and by their gradients."""

from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Dict, Iterable, Iterator, List, Tuple, cast

import numpy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor, nn

from ..layers.convolution import Convolution
from ..layers.decoder import DecoderStack
from ..layers.dilated import DilatedStack
from ..layers.packing import Packing
from ..layers.receptive_field import ConvolutionShape, ReceptiveField, receptive_fields
from ..layers.stack import PackedStack
from ..layers.upsampling import TransposedConvolution
from ..models.shim import TorchShim

CONVOLUTIONS = (Convolution, TransposedConvolution)
# From the distance of an input to the output, which is negative for one before it, to a number.
ByDistance = Dict[int, float]
# A stack of convolutions and its arguments.
CallT = Tuple[PackedStack, Tensor, Packing]


@dataclass(frozen=True)
class Layer:
    """A layer of an encoder.

    name (str): Where it is in the encoder.
    shape (ConvolutionShape): Its shape along the text.
    field (ReceptiveField): What its outputs see of the encoder's input.
    parameters (int): The number of its parameters, 0 if they are those of an earlier layer.
    multiply_adds (int): The number of multiplications for each input of the encoder, as many as
        additions.
    """

    name: str
    shape: ConvolutionShape
    field: ReceptiveField
    parameters: int
    multiply_adds: int


def find_encoders(nlp: Language) -> Dict[str, nn.Module]:
    """Find the torch modules that have stacks of convolutions.

    nlp (Language): The pipeline.
    RETURNS (Dict[str, nn.Module]): The modules, under the names of the component and of the layer.
    """
    return {
        f"{name}: {node.name}": shim.module
        for name, pipe in nlp.pipeline
        if hasattr(pipe, "model")
        for node in pipe.model.walk()
        for shim in node.shims
        if isinstance(shim, TorchShim) and _stacks(shim.module)
    }


def _stacks(module: nn.Module) -> List[PackedStack]:
    return [child for child in module.modules() if isinstance(child, PackedStack)]


def list_layers(encoder: nn.Module) -> List[Layer]:
    """List the convolutions of an encoder and the linear maps of its stacks, in their order.

    encoder (nn.Module): A module with stacks of convolutions.
    RETURNS (List[Layer]): The layers. One that is applied several times is there as often.
    """
    found = list(_walk(encoder, ""))
    shapes = [_shape(module) for _, module in found]
    layers: List[Layer] = []
    seen = set()
    rows = 1.0  # for each input of the encoder
    for (name, module), shape, field in zip(found, shapes, receptive_fields(shapes), strict=True):
        parameters = sum(parameter.numel() for parameter in module.parameters())
        # Each row is multiplied by each weight once. That of a transposed convolution is an input.
        multiply_adds = round(rows * module.get_parameter("weight").numel())
        layers.append(Layer(name, shape, field, 0 if name in seen else parameters, multiply_adds))
        seen.add(name)
        rows = 1 / float(field.jump)
    return layers


def _walk(module: nn.Module, name: str, in_stack: bool = False) -> Iterator[Tuple[str, nn.Module]]:
    """The layers of a module, by name."""
    in_stack = in_stack or isinstance(module, PackedStack)
    kinds = (*CONVOLUTIONS, nn.Linear) if in_stack else CONVOLUTIONS
    for _ in range(module.iterations if isinstance(module, DilatedStack) else 1):
        for child_name, child in module.named_children():
            path = f"{name}.{child_name}".lstrip(".")
            if isinstance(child, kinds):
                yield path, child
            else:
                yield from _walk(child, path, in_stack)


def _shape(layer: nn.Module) -> ConvolutionShape:
    if isinstance(layer, Convolution):
        padding = layer.reach.left
        return ConvolutionShape(layer.kernel_size, dilation=layer.dilation, padding=padding)
    if isinstance(layer, TransposedConvolution):
        taps = layer.weight.shape[1]
        return ConvolutionShape(taps, layer.stride, padding=layer.overlap, transposed=True)
    return ConvolutionShape(1)


def measure_fields(nlp: Language, docs: Iterable[Doc]) -> Dict[str, ByDistance]:
    """Measure how much of the gradient comes from which distance, as the pipeline reads documents.

    nlp (Language): The trained pipeline.
    docs (Iterable[Doc]): The documents.
    RETURNS (Dict[str, ByDistance]): For each stack of convolutions that has computed something, the
        parts of all distances. Those of decoders, which also look at a memory, are left out.
    """
    calls: Dict[str, List[CallT]] = {}
    handles = []
    for encoder, module in find_encoders(nlp).items():
        for part, child in module.named_modules():
            if isinstance(child, PackedStack) and not isinstance(child, DecoderStack):
                keep = partial(_keep, calls.setdefault(f"{encoder} {part}".strip(), []))
                handles.append(child.register_forward_pre_hook(keep))
    try:
        for _ in nlp.pipe(docs):
            pass
    finally:
        for handle in handles:
            handle.remove()
    return {name: effective_field(of_stack) for name, of_stack in calls.items() if of_stack}


def _keep(calls: List[CallT], stack: nn.Module, args: Tuple[Tensor, Packing]) -> None:
    calls.append((cast(PackedStack, stack), *args))


def effective_field(calls: List[CallT]) -> ByDistance:
    """Measure an effective receptive field (Luo et al. 2016, "Understanding the effective receptive
    field in deep convolutional neural networks", section 2): the size of the gradient of the
    vector in the middle of each document with respect to the inputs around.

    The size is the root of the mean square. With random signs as the gradient of a vector, the
    mean square is that over all of its columns (their plain sum wouldn't do: the normalization at
    the end of a stack makes it constant).

    calls (List[CallT]): A stack and its arguments, several times.
    RETURNS (ByDistance): What part of the sum of all sizes each distance has.
    """
    reach = calls[0][0].reach
    squares = numpy.zeros(reach.size)
    counts = numpy.zeros(reach.size)
    generator = torch.Generator().manual_seed(0)
    for stack, x, packing in calls:
        # What was made for prediction can't have a gradient.
        x = x.clone().requires_grad_()
        packing = copy(packing)
        packing.gap_rows = packing.gap_rows.clone()
        with torch.enable_grad():
            y = stack(x, packing)
        middles = [
            (start, length, length // 2)
            for start, length in zip(packing.starts, packing.lengths, strict=True)
            if length
        ]
        rows = [start + middle for start, _, middle in middles]
        signs = torch.randint(0, 2, (len(rows), y.shape[1]), generator=generator) * 2.0 - 1
        dy = torch.zeros_like(y)
        dy[rows] = signs.to(y)
        [dx] = torch.autograd.grad(y, x, dy)
        sizes = dx.square().sum(dim=1).cpu().numpy()
        for start, length, middle in middles:
            before, after = min(reach.left, middle), min(reach.right, length - 1 - middle)
            first, last = start + middle - before, start + middle + after
            squares[reach.left - before : reach.left + after + 1] += sizes[first : last + 1]
            counts[reach.left - before : reach.left + after + 1] += 1
    sizes = numpy.sqrt(squares / counts.clip(1))
    distances = range(-reach.left, reach.right + 1)
    return dict(zip(distances, (sizes / sizes.sum()).tolist(), strict=True))
