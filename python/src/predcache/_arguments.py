"""Checks arguments, and reports everything that is wrong with them at once."""

from __future__ import annotations

import math
import numbers
from typing import Any

from predcache.errors import ConfigurationError

_NAMES: dict[type, str] = {numbers.Real: "number", numbers.Integral: "whole number"}


def _is_number(value: Any, kind: type) -> bool:
    return (
        isinstance(value, kind)
        and isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


class Arguments:
    """The arguments of one call."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._wrong: list[str] = []

    def at_least(self, name: str, value: Any, least: int, kind: type = numbers.Real) -> None:
        """Take a finite number of at least ``least``."""
        if not _is_number(value, kind) or value < least:
            self.wrong(name, value, f"give a {_NAMES[kind]} of at least {least}")

    def above_zero(self, name: str, value: Any) -> None:
        """Take a finite number above 0."""
        if not _is_number(value, numbers.Real) or value <= 0:
            self.wrong(name, value, "give a number above 0")

    def instance(self, name: str, value: Any, kind: type | tuple[type, ...], remedy: str) -> None:
        """Take None, or an instance of a class."""
        if value is not None and not isinstance(value, kind):
            self.wrong(name, value, remedy)

    def wrong(self, name: str, value: Any, remedy: str) -> None:
        """Note that an argument has a wrong value."""
        text = repr(value)
        self._wrong.append(f"{name} is {text if len(text) <= 80 else text[:77] + '…'}: {remedy}")

    def check(self) -> None:
        """Raise one error for everything that is wrong.

        Raises:
            ConfigurationError: Something is wrong.
        """
        if self._wrong:
            raise ConfigurationError(f"{self._of}: {'; '.join(self._wrong)}")
