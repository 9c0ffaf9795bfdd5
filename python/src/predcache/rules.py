"""What a prediction must be for the worker to take it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, get_args

from predcache import _contract as contract
from predcache import _json, _times
from predcache._arguments import Arguments
from predcache._json import bad
from predcache.errors import InvalidPredictionError
from predcache.layout import Layout

__all__ = ["Rules"]


@dataclass(frozen=True)
class Rules:
    """What the worker and its table take, where it differs from their defaults.

    A Publisher refuses what the worker would reject, before it is sent. It needs this only where the
    table or the worker is set up differently.

    Attributes:
        layout: The table's layout, which says what an id is and which names are reserved.
        payload_encoding: ``WORKER_PAYLOAD_ENCODING``: under ``map`` a payload must fit DynamoDB too;
            under ``zstd`` an item's size is known to the worker alone, which then checks it.
        indexes: The key attributes of the table's indexes, and their types, S or N.
        max_future: ``WORKER_MAX_FUTURE`` in seconds: how far ahead of this clock an event may be.
        min_event_time: ``WORKER_MIN_EVENT_TIME`` in epoch seconds: the earliest event time and expiry.
    """

    layout: Layout = field(default_factory=Layout)
    payload_encoding: contract.Encoding = "json"
    indexes: Mapping[str, str] = field(default_factory=dict)
    max_future: float = contract.MAX_FUTURE
    min_event_time: int = contract.MIN_EVENT_TIME

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: One is wrong.
        """
        arguments = Arguments("Rules")
        if not isinstance(self.layout, Layout):
            arguments.wrong("layout", self.layout, 'give a Layout, such as Layout.of("latest-only")')
        if self.payload_encoding not in get_args(contract.Encoding):
            arguments.wrong("payload_encoding", self.payload_encoding, "give json, map or zstd")
        for name, declared in self.indexes.items():
            if declared not in ("S", "N"):
                arguments.wrong(f"indexes[{name!r}]", declared, "give S or N")
        arguments.at_least("max_future", self.max_future, 0)
        arguments.at_least("min_event_time", self.min_event_time, 0)
        arguments.check()

    @cached_property
    def reserved(self) -> frozenset[str]:
        """The names that no other field may have."""
        return self.layout.reserved - frozenset(contract.FIELDS)

    def key(self, value: Any, field: str = contract.ID) -> str | int | Decimal:
        """Return an id as a message has it.

        Args:
            value: A string or a UUID; a number where the table's hash key is one.
            field: The field's name, for errors.

        Raises:
            InvalidPredictionError: No item can have this id.
        """
        if type(value) is str or isinstance(value, str):
            if self.layout.numeric:
                raise bad("key", field, "is a string, but the table's hash key is a number")
            return contract.string_key(value, field)
        if value is None:
            raise bad("missing_field", field, "is missing")
        if hasattr(value, "item") and getattr(value, "shape", None) == ():  # numpy's scalars
            value = value.item()
        if isinstance(value, float):
            value = Decimal(repr(value))
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            if not self.layout.numeric:
                raise bad(
                    "key",
                    field,
                    f"is a number, but the table's hash key is a string: send {str(value)!r}",
                )
            contract.number(value, field)
            return value
        simpler = _json.simplify(value, field) if not isinstance(value, (bool, dict, list)) else value
        if isinstance(simpler, str):
            return self.key(simpler, field)
        raise bad("field_type", field, "is neither a string nor a number")

    def read_key(self, value: Any) -> str:
        """Return an id as its items have it: the text of a number where the hash key is one.

        Raises:
            InvalidPredictionError: No item can have this id.
        """
        if not self.layout.numeric:
            return str(self.key(value))
        if isinstance(value, str):
            try:
                value = Decimal(value)
            except ArithmeticError as err:
                raise bad("key", contract.ID, "is no number, as the table's hash key is") from err
        key = self.key(value)
        assert not isinstance(key, str)  # noqa: S101 # of a numeric layout
        return contract.plain(contract.number(key, contract.ID))

    def event_time(self, value: Any) -> int:
        """Check an event time, and return it in attoseconds since 1970.

        Raises:
            InvalidPredictionError: It is no time, or one that the worker would reject.
        """
        atto = _times.parse(value, contract.TIMESTAMP)
        if atto > int((time.time() + self.max_future) * 10**6) * 10**12:
            raise bad(
                "future",
                contract.TIMESTAMP,
                f"is over {self.max_future:g} seconds in the future: send the time of the event",
            )
        self._check_past(atto, contract.TIMESTAMP)
        return atto

    def _check_past(self, atto: int, field: str) -> None:
        """Refuse a time that no clock gives: a missing value, a wrong unit or a wrong epoch."""
        if atto < self.min_event_time * _times.ATTO:
            raise bad(
                "past",
                field,
                f"is before {self.min_event_time} in epoch seconds, a time that no clock gives: send"
                " seconds, ms, us or ns since 1970, or a datetime",
            )

    def check_life(self, created: int | None, ttl: Any, end: Any) -> None:
        """Check a prediction's life, which may be given by its length or by its end.

        Raises:
            InvalidPredictionError: The worker would reject it.
        """
        if end is not None:
            if ttl is not None:
                raise bad(
                    "field_value",
                    contract.EXPIRES_AT,
                    "is there beside ttlSeconds: send one of them",
                )
            self._check_past(_times.parse(end, contract.EXPIRES_AT), contract.EXPIRES_AT)
        elif ttl is not None:
            life = _times.exact(_times.finite_seconds(ttl, contract.TTL_SECONDS), 18, contract.TTL_SECONDS)
            start = created if created is not None else int(time.time()) * _times.ATTO
            if start + life >= (_times.LATEST + 1) * _times.ATTO:
                raise bad(
                    "field_value",
                    contract.TTL_SECONDS,
                    "ends after the year 9999: send a shorter life",
                )

    def attributes_size(self, attributes: Mapping[str, Any]) -> int:
        """Check the other fields, which are stored natively, and return their size in bytes.

        Raises:
            InvalidPredictionError: The worker would reject one.
        """
        size = 0
        for name, value in attributes.items():
            contract.check_name(name, "")
            if name == contract.DELETED:
                raise bad("reserved_name", name, "marks a delete: use delete(), or rename the attribute")
            if name in contract.FIELDS:
                remedy = f"give it as the argument `{contract.ARGUMENTS[name]}`"
                raise bad("reserved_name", name, f"is a field of the message: {remedy}")
            if name in self.reserved:
                raise bad("reserved_name", name, "is an attribute that the worker sets: rename it")
            size += len(name.encode()) + contract.native_size(value, name)
            if name in self.indexes:
                contract.check_index_key(self.indexes[name], contract.MAX_SORT_BYTES * 2, value, name)
        return size

    def check_payload(self, payload: Any) -> None:
        """Check a payload that is to be stored natively.

        Raises:
            InvalidPredictionError: The worker would reject it.
        """
        if self.payload_encoding == "map":
            contract.native_size(payload, contract.PAYLOAD)

    def check_size(self, key: Any, created: int | None, others: int, payload: int) -> None:
        """Check the size of the item that the worker would make.

        Args:
            key: The id as the message has it.
            created: The event time in attoseconds; None for the time of sending.
            others: The size of the attributes in bytes.
            payload: The size of the payload as compact JSON text in bytes.

        Raises:
            InvalidPredictionError: It is over DynamoDB's 400 KB.
        """
        if self.payload_encoding != "json":
            return
        layout = self.layout
        if isinstance(key, str):
            size = len(layout.hash_key) + len(key.encode())
        else:
            size = len(layout.hash_key) + contract.number_size(contract.number(key, contract.ID))
        created = created if created is not None else int(time.time()) * _times.ATTO
        seconds = created // _times.ATTO
        size += len(contract.CREATED_AT) + _size(Decimal(_times.seconds_text(created)))
        size += len(layout.sort_key or contract.TIMESTAMP) + _size(seconds)
        if layout.ttl_attribute != layout.sort_key:
            size += len(layout.ttl_attribute) + _size(seconds + 86400)
        size += len(contract.PAYLOAD) + payload + others
        if size > contract.MAX_ITEM:
            raise too_large(size)


def _size(value: Decimal | int) -> int:
    return contract.number_size(contract.number(value, ""))


def too_large(size: int) -> InvalidPredictionError:
    """Return the error of an item of so many bytes."""
    return bad(
        "too_large",
        "",
        f"the item would have {size} bytes of DynamoDB's {contract.MAX_ITEM}: send a smaller payload",
    )
