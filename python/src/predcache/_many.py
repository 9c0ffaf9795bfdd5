"""One get_many: what is known, what is wanted, and what was found."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from predcache._computed import Computed
from predcache.errors import PartialError, PredcacheError
from predcache.front import Front
from predcache.layout import Layout
from predcache.prediction import Found, Prediction
from predcache.rules import Rules


class Many:
    """One get_many: which ids are known already, which are wanted, and what was found of them."""

    def __init__(self, rules: Rules, front: Front | None, computed: Computed) -> None:
        self._rules = rules
        self._front = front
        self._computed = computed
        self._keys: dict[Any, str] = {}  # by id as it was given
        self.found: dict[str, Prediction | None] = {}
        self.answered: dict[str, Found] = {}  # what answers had, which read and failed take
        self.errors: dict[str, PredcacheError] = {}
        self.wanted: dict[str, None] = {}  # keys, in order
        self._sent = time.monotonic()

    def add(self, ids: Iterable[Any]) -> None:
        """Take ids, and look for them in the front.

        Raises:
            InvalidPredictionError: No item can have one of them.
            TypeError: It is one id, not a collection of ids.
        """
        if isinstance(ids, (str, bytes)):
            raise TypeError("get_many takes a list of ids: a single string would be read as its characters")
        for id_ in ids:
            key = self._keys[id_] = self._rules.read_key(id_)
            if key in self.found or key in self.wanted:
                continue
            known, prediction = self._front.lookup(key) if self._front else (False, None)
            if known:
                self.found[key] = prediction
            else:
                self.wanted[key] = None

    def chunks(self, layout: Layout, size: int) -> list[list[str]]:
        """Return what each call, or each Query, has to ask for."""
        size = size if layout.sort_key is None else 1
        wanted = list(self.wanted)
        return [wanted[i : i + size] for i in range(0, len(wanted), size)]

    def read(self, keys: list[str]) -> None:
        """Take what was read of ids: what was neither found nor can't be read is a miss."""
        for key in keys:
            if key not in self.errors:
                self._take(key)

    def failed(self, keys: Iterable[str], error: PredcacheError) -> None:
        """Take the error of a call, which has not found some ids."""
        for key in keys:
            if key in self.answered:
                self._take(key)
            elif key not in self.found:
                self.errors.setdefault(key, error)

    def _take(self, key: str) -> None:
        self.found[key] = self._computed.read(key, self.answered.pop(key, None), self._sent)

    def result(self) -> dict[Any, Prediction | None]:
        """Return what get_many returns.

        Raises:
            PartialError: Some ids could not be read.
        """
        found, errors = self.found, self.errors
        if errors:
            raise PartialError(
                {id_: found[key] for id_, key in self._keys.items() if key in found},
                {id_: errors[key] for id_, key in self._keys.items() if key in errors},
            )
        return {id_: found[key] for id_, key in self._keys.items()}
