"""Checks of settings, shared by all layers: a bad value gets an error that names the setting."""

from typing import Collection, Optional, Sequence

from ..errors import Errors


def check_positive(name: str, value: int) -> None:
    """Raise a ValueError unless the value is a whole number of at least 1."""
    if type(value) is not int or value < 1:
        raise ValueError(Errors.E001.format(name=name, value=value))


def check_kernel_size(value: int) -> None:
    """Raise a ValueError unless the kernel has a middle."""
    check_positive("kernel_size", value)
    if value % 2 == 0:
        raise ValueError(Errors.E002.format(value=value, lower=value - 1, upper=value + 1))


def check_dilations(value: Sequence[int]) -> None:
    """Raise a ValueError unless there is a dilation of at least 1 for at least one layer."""
    if not value or not all(type(dilation) is int and dilation > 0 for dilation in value):
        raise ValueError(Errors.E003.format(value=value))


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise a ValueError unless the value is one of the choices."""
    if value not in choices:
        options = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(Errors.E004.format(name=name, value=value, choices=options))


def check_dropout(value: Optional[float], name: str = "dropout") -> None:
    """Raise a ValueError unless the value is a rate or None."""
    if value is not None and not 0.0 <= value < 1.0:
        raise ValueError(Errors.E005.format(name=name, value=value))


def check_positives(name: str, value: Sequence[int]) -> None:
    """Raise a ValueError unless there is at least one whole number of at least 1."""
    if not value or not all(type(number) is int and number > 0 for number in value):
        raise ValueError(Errors.E014.format(name=name, value=value))
