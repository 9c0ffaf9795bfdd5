"""A prediction as it was read."""

from __future__ import annotations

import base64
import datetime
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from predcache import _contract as contract
from predcache import _json, _times
from predcache.errors import ItemError
from predcache.layout import Layout

__all__ = ["Prediction"]

_FIXED_COST = 700  # bytes: about what Python needs for an object, its key, and an entry of a cache
_DICT = sys.getsizeof({"S": ""})
_TOMBSTONE_COST = 500  # bytes: the same, of a tombstone


class Prediction:
    """One cached result, as it was read from the table or as it was computed.

    It may be shared with other callers of the cache: don't change what it holds. Everything is decoded
    when it is asked for, and then kept.

    Attributes:
        id: What it is the prediction of; the text of a number where the table's hash key is one.
        expires: The end of its life in epoch seconds.
    """

    __slots__ = (
        "_attributes",
        "_created",
        "_decimals",
        "_item",
        "_layout",
        "_payload",
        "_table",
        "_text",
        "expires",
        "id",
    )

    id: str
    expires: int

    def __init__(
        self,
        table: str,
        layout: Layout,
        item: dict[str, Any],
        decimals: bool,
        id: str,  # noqa: A002
        expires: int,
    ) -> None:
        self._table = table
        self._layout = layout
        self._item = item
        self._decimals = decimals
        self.id = id
        self.expires = expires
        self._created: int | None = None
        self._text: str | None = None
        self._payload: Any = _json  # for what was not decoded yet, since None is a payload
        self._attributes: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Prediction {self.id!r} of {self.event_time.isoformat()}>"

    @property
    def payload(self) -> Any:
        """The result. Numbers are int and float; int and Decimal under ``decimals=True``.

        Raises:
            ItemError: The item's payload can't be read.
        """
        if self._payload is _json:
            try:
                self._payload = _json.decode(self.text, self._decimals)
            except (ValueError, RecursionError) as err:
                raise self.error(f"the attribute {contract.PAYLOAD!r} is not JSON: {err}") from err
        return self._payload

    @property
    def text(self) -> str:
        """The result as JSON text, whose numbers have every digit.

        Raises:
            ItemError: The item's payload can't be read.
        """
        if self._text is None:
            self._text = self._read_text()
        return self._text

    @property
    def event_time(self) -> datetime.datetime:
        """When the event was of which it is the prediction, in UTC, cut to microseconds."""
        return _times.to_datetime(self.created)

    @property
    def event_time_exact(self) -> Decimal:
        """The event time in epoch seconds, with up to 18 decimals."""
        return Decimal(_times.seconds_text(self.created))

    @property
    def expires_at(self) -> datetime.datetime | None:
        """The end of its life, in UTC, in whole seconds.

        None for what was just computed without a life of its own: the worker's ``WORKER_TTL`` decides.
        """
        if self.expires >= _times.LATEST:
            return None
        return _times.to_datetime(self.expires * _times.ATTO)

    @property
    def attributes(self) -> dict[str, Any]:
        """The other attributes, such as the model: numbers as in ``payload``, binary as bytes.

        Raises:
            ItemError: One can't be read.
        """
        if self._attributes is None:
            reserved = self._layout.reserved
            try:
                self._attributes = {
                    name: native(value, self._decimals)
                    for name, value in self._item.items()
                    if name not in reserved
                }
            except (ValueError, TypeError, ArithmeticError) as err:
                raise self.error(f"an attribute can't be read: {err}") from err
        return self._attributes

    @property
    def created(self) -> int:
        """The event time in attoseconds since 1970: what orders predictions, exactly."""
        if self._created is None:
            try:
                self._created = _times.parse_seconds(self._item[contract.CREATED_AT]["N"])
            except (KeyError, TypeError, ValueError) as err:
                raise self.error(f"the attribute {contract.CREATED_AT!r} is no time") from err
        return self._created

    @property
    def cost(self) -> int:
        """About the bytes of memory that it takes undecoded."""
        cost = _FIXED_COST + sys.getsizeof(self._item)
        for value in self._item.values():
            for content in value.values():
                cost += _DICT + (sys.getsizeof(content) if isinstance(content, str) else _cost(content))
        return cost

    def error(self, detail: str) -> ItemError:
        """Return an error about the item."""
        return item_error(self._table, self._layout, self._item, detail)

    def _read_text(self) -> str:
        item = self._item
        value = item.get(contract.PAYLOAD, {})
        encoding = item.get(contract.ENCODING, {}).get("S", "json")
        if encoding == "json" and "S" in value:
            text: str = value["S"]
            return text
        if encoding == "zstd" and "B" in value:
            return self._decompress(value["B"])
        if encoding == "map" and value:
            try:
                return native_text(value)
            except (ValueError, TypeError, KeyError) as err:
                raise self.error(f"the attribute {contract.PAYLOAD!r} can't be read: {err}") from err
        if encoding not in ("json", "zstd", "map"):
            raise self.error("it has an encoding that this version does not know")
        raise self.error(f"the attribute {contract.PAYLOAD!r} is missing or of another type")

    def _decompress(self, text: str) -> str:
        try:
            import zstandard
        except ImportError as err:
            raise self.error("its payload is compressed: install predcache[zstd] to read it") from err
        try:
            reader = zstandard.ZstdDecompressor().stream_reader(base64.b64decode(text))
            raw = reader.read(contract.MAX_PAYLOAD + 1)
            if len(raw) > contract.MAX_PAYLOAD:
                raise ValueError("it is over 64 MiB once decompressed")
            return str(raw, "utf-8")
        except (ValueError, zstandard.ZstdError) as err:
            raise self.error(f"the attribute {contract.PAYLOAD!r} is no zstd: {err}") from err


@dataclass(frozen=True)
class Tombstone:
    """A live tombstone: it hides the predictions of its id whose event time is not later.

    Attributes:
        id: The id, as its items have it.
        created: The event time of the delete, in attoseconds since 1970.
        expires: The end of its life in epoch seconds.
        unit: Its sort key without the fraction; 0 in the latest-only layout.
    """

    id: str
    created: int
    expires: int
    unit: int

    @property
    def cost(self) -> int:
        """About the bytes of memory that it takes."""
        return _TOMBSTONE_COST + len(self.id)

    def hides(self, prediction: Prediction) -> bool:
        """Tell whether it hides a prediction of its id."""
        return prediction.created <= self.created


Found = Prediction | Tombstone | None
"""What a read found: the newest of an id that has not expired, where a tombstone is a miss."""


def newest(a: Found, b: Found) -> Found:
    """Return the newer of two; of two predictions of one event time, the first."""
    if a is None or b is None:
        return a or b
    if b.created == a.created:
        return b if isinstance(b, Tombstone) else a
    return b if b.created > a.created else a


def item_error(table: str, layout: Layout, item: dict[str, Any], detail: str) -> ItemError:
    """Return an error about an item, which it names by what its key attributes hold."""

    def text(name: str) -> str:
        return "".join(str(v) for v in item.get(name, {}).values())

    sort_key = text(layout.sort_key) if layout.sort_key else None
    return ItemError(table, text(layout.hash_key), sort_key, detail)


def native(value: dict[str, Any], decimals: bool) -> Any:
    """Return the Python value of a typed value of DynamoDB's JSON."""
    ((kind, content),) = value.items()
    if kind == "S" or kind == "BOOL":
        return content
    if kind == "N":
        return number(content, decimals)
    if kind == "NULL":
        return None
    if kind == "M":
        return {name: native(member, decimals) for name, member in content.items()}
    if kind == "L":
        return [native(element, decimals) for element in content]
    if kind == "B":
        return base64.b64decode(content)
    if kind == "NS":
        return [number(n, decimals) for n in content]
    if kind == "SS":
        return list(content)
    if kind == "BS":
        return [base64.b64decode(b) for b in content]
    raise ValueError(f"the type {kind!r} is none of DynamoDB's")


def number(text: str, decimals: bool) -> int | float | Decimal:
    """Return a number of DynamoDB: an integer as int, another as float or Decimal."""
    if "." not in text and "e" not in text and "E" not in text:
        return int(text)
    return Decimal(text) if decimals else float(text)


def native_text(value: dict[str, Any]) -> str:
    """Return a typed value of DynamoDB's JSON as JSON text. Numbers keep their digits."""
    ((kind, content),) = value.items()
    if kind == "S":
        return _json.quote(content)
    if kind == "N":
        Decimal(content)
        return str(content)
    if kind == "BOOL":
        return "true" if content else "false"
    if kind == "NULL":
        return "null"
    if kind == "M":
        members = (f"{_json.quote(n)}:{native_text(v)}" for n, v in sorted(content.items()))
        return "{" + ",".join(members) + "}"
    if kind == "L":
        return "[" + ",".join(map(native_text, content)) + "]"
    raise ValueError(f"it holds the type {kind!r}, which the worker does not write")


def _cost(value: Any) -> int:
    cost = sys.getsizeof(value)
    if isinstance(value, dict):
        cost += sum(map(_cost, value.values()))
    elif isinstance(value, list):
        cost += sum(map(_cost, value))
    return cost
