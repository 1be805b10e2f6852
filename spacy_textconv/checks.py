"""Checks of settings and packages, shared by all floors: an error names what to change."""

from importlib import import_module
from numbers import Real
from types import ModuleType
from typing import Any, Collection, Dict, Optional

from .errors import Errors

# Limits far beyond what is of use, so that a slip of the keyboard is an error that names the
# setting, and no allocation of terabytes. This one is that of columns, layers and the like.
MAX_SIZE = 10_000
MAX_ROWS = 100_000_000
LIMITS: Dict[str, float] = {
    "rows": MAX_ROWS,
    "char_rows": MAX_ROWS,
    "cache_size": MAX_ROWS,
    # Of a word, 64 characters are read, and no longer n-gram occurs twice.
    "sizes": 64,
    "char_kernel_sizes": 64,
    # What lies beyond the end of a document costs nothing.
    "dilation": 1_000_000_000,
    "dilations": 1_000_000_000,
    "scale": 1000.0,
    # A factor of more than 10 to the power of 40
    "lexicon_bonus": 100.0,
    "top_k": 1_000_000,
    "top_p": 1.0,
    "nO": 1_000_000,
    "symbols": 1_000_000,
    "max_symbols": 1_000_000,
    # What torch takes
    "seed": 2**63 - 1,
    # These are no settings, but what others add up to.
    "in_width": MAX_ROWS,
    "out_width": MAX_ROWS,
    "padding": MAX_ROWS,
}


def check_positive(name: str, value: int, *, least: int = 1) -> None:
    """Raise a ValueError unless the value is a whole number from 1, or more, to its limit."""
    if not _is_whole(name, value, least):
        details = {"least": least, "limit": _limit(name)}
        raise ValueError(Errors.E001.format(name=name, value=value, **details))


def check_natural(name: str, value: int) -> None:
    """Raise a ValueError unless the value is a whole number from 0 to its limit."""
    if not _is_whole(name, value, 0):
        raise ValueError(Errors.E017.format(name=name, value=value, limit=_limit(name)))


def check_seed(value: Optional[int]) -> None:
    """Raise a ValueError unless the value is a seed, or None."""
    if value is not None:
        check_natural("seed", value)


def check_positives(name: str, value: Collection[int]) -> None:
    """Raise a ValueError unless there is at least one whole number, each from 1 to its limit."""
    if not value or not all(_is_whole(name, number, 1) for number in value):
        raise ValueError(Errors.E014.format(name=name, value=value, limit=_limit(name)))


def check_kernel_size(value: int, *, causal: bool = False) -> None:
    """Raise a ValueError unless the kernel has a middle, or needs none because it is causal."""
    check_positive("kernel_size", value)
    if value % 2 == 0 and not causal:
        raise ValueError(Errors.E002.format(value=value, lower=value - 1, upper=value + 1))


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise a ValueError unless the value is one of the choices."""
    if value not in choices:
        options = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(Errors.E004.format(name=name, value=value, choices=options))


def check_dropout(value: Optional[float], name: str = "dropout") -> None:
    """Raise a ValueError unless the value is a rate or None."""
    if value is not None and not (_is_number(value) and 0.0 <= value < 1.0):
        raise ValueError(Errors.E005.format(name=name, value=value))


def check_probability(name: str, value: float) -> None:
    """Raise a ValueError unless the value is a probability."""
    if not (_is_number(value) and 0.0 <= value <= 1.0):
        raise ValueError(Errors.E018.format(name=name, value=value))


def check_factor(name: str, value: float) -> None:
    """Raise a ValueError unless the value is greater than 0 and not beyond its limit."""
    if not (_is_number(value) and 0.0 < value <= _limit(name)):
        raise ValueError(Errors.E024.format(name=name, value=value, limit=_limit(name)))


def check_not_negative(name: str, value: float) -> None:
    """Raise a ValueError unless the value is 0 or greater, and not beyond its limit."""
    if not (_is_number(value) and 0.0 <= value <= _limit(name)):
        raise ValueError(Errors.E150.format(name=name, value=value, limit=_limit(name)))


def import_extra(package: str) -> ModuleType:
    """Import a package of the extra `generate`, or raise an ImportError that says how to install
    it."""
    try:
        return import_module(package)
    except ImportError as err:
        raise ImportError(Errors.E153.format(package=package)) from err


def _limit(name: str) -> float:
    return LIMITS.get(name, MAX_SIZE)


def _is_whole(name: str, value: Any, at_least: int) -> bool:
    # Not by `isinstance`, because True and False are instances of int.
    return type(value) is int and at_least <= value <= _limit(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
