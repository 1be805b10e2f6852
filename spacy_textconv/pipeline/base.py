"""What the components of this package have in common."""

import warnings
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple, TypeVar, Union, cast

import numpy
from spacy.attrs import ORTH
from spacy.pipeline import TrainablePipe
from spacy.training import Example, validate_examples
from thinc.api import Optimizer

from ..errors import Errors

PipeT = TypeVar("PipeT", bound="ConvPipe")
# In the order in which they have to be loaded.
FILES = ("cfg", "vocab", "model")


class ConvPipe(TrainablePipe):
    """A component whose labels are in `cfg`, and whose files are checked when they are loaded."""

    cfg: Dict[str, Any]

    @property
    def labels(self) -> Tuple[str, ...]:
        """The labels, in the order of the model's outputs."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> Tuple[str, ...]:
        """The labels, as `spacy init labels` writes them."""
        return self.labels

    def set_output(self, nO: int) -> None:
        """Set the number of the model's outputs. A model that has as many keeps its weights.

        nO (int): The number.
        """
        if self.model.maybe_get_dim("nO") != nO:
            super().set_output(nO)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch.

        examples (Iterable[Example]): The batch.
        drop (float): The dropout rate.
        sgd (Optional[Optimizer]): The optimizer; without it, gradients are added up.
        losses (Optional[Dict[str, float]]): The losses by component, to which this one is added.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        # Not every layer has a gradient of no tokens at all.
        if not any(len(example.predicted) for example in examples):
            return losses
        loss = self._learn(examples, drop)
        if loss is None:
            return losses
        if sgd not in (None, False):
            self.finish_update(cast(Optimizer, sgd))
        losses[self.name] += loss
        return losses

    def _learn(self, examples: List[Example], drop: float) -> Optional[float]:
        """Compute the loss of a batch with tokens and the gradients of the model. None if the batch
        teaches nothing."""
        raise NotImplementedError

    def rehearse(self, *args: Any, **kwargs: Any) -> Dict[str, float]:
        """Not supported.

        RAISES (NotImplementedError): Always.
        """
        raise NotImplementedError(Errors.E020.format(name=self.name))

    def from_bytes(self: PipeT, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> PipeT:
        """Load what `to_bytes` has saved.

        bytes_data (bytes): What it has returned.
        exclude (Iterable[str]): What is left as it is: "cfg", "model" or "vocab".
        RETURNS (ConvPipe): The component itself.
        RAISES (ValueError): If the labels and the model don't belong together.
        """
        for file in FILES:
            if file not in exclude:
                super().from_bytes(bytes_data, exclude=[*exclude, *_others(file)])
                self._loaded(file, f"the bytes of '{self.name}'")
        return self

    def from_disk(self: PipeT, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> PipeT:
        """Load what `to_disk` has saved.

        path (Union[str, Path]): The component's folder.
        exclude (Iterable[str]): What is left as it is: "cfg", "model" or "vocab".
        RETURNS (ConvPipe): The component itself.
        RAISES (ValueError): If a file is missing, damaged or of another component.
        """
        folder = Path(path)
        # One after the other, so that an error can name the file.
        for file in FILES:
            if file in exclude:
                continue
            try:
                # spaCy takes a missing `cfg` for an empty one.
                (folder / file).stat()
                super().from_disk(folder, exclude=[*exclude, *_others(file)])
            # What is wrong with a damaged file shows in many ways.
            except Exception as err:
                raise ValueError(Errors.E090.format(path=folder / file, reason=err)) from err
            self._loaded(file, str(folder))
        return self

    def _loaded(self, file: str, source: str) -> None:
        """Check or prepare what depends on a file that has just been loaded.

        file (str): "cfg", "vocab" or "model".
        source (str): What it was loaded from, for errors.
        """

    def _warn(self, message: str, **details: Any) -> None:
        """Give a warning, but only the first time that there is a reason for it."""
        if message not in self._warnings:
            self._warnings.add(message)
            warnings.warn(message.format(name=self.name, **details), stacklevel=2)

    @property
    def _warnings(self) -> Set[str]:
        """The warnings that have been given."""
        return self.__dict__.setdefault("_given", set())


def has_same_words(example: Example) -> bool:
    """Tell whether the two documents of an example have the same words, so that nothing has to be
    aligned."""
    predicted, reference = (doc.to_array(ORTH) for doc in (example.predicted, example.reference))
    return bool(numpy.array_equal(predicted, reference))


def _others(file: str) -> Tuple[str, ...]:
    return tuple(other for other in FILES if other != file)
