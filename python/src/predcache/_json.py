"""JSON whose numbers keep their digits, with orjson where it is installed.

orjson is several times as fast as the standard library, but it turns NaN into null, refuses integers
of over 64 bits, and reads those as floats. So what it writes is checked, and what it can't take goes
through the writer in this module, which is plain Python and takes everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from predcache.errors import InvalidPredictionError

orjson: Any = None
with contextlib.suppress(ImportError):
    import orjson as _orjson

    orjson = _orjson

NaN = str  # "error" or "null": what becomes of NaN and infinities

_quote: Callable[[str], str] = json.encoder.encode_basestring
_quote_ascii: Callable[[str], str] = json.encoder.encode_basestring_ascii
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FINITE = "is {}: JSON has no such number; publish null, or use nan='null'"
_MAX_DEPTH = 250  # well inside of Python's recursion limit; orjson stops at 254


def quote(text: str) -> str:
    """Return a string as JSON text. Half a surrogate pair, which UTF-8 can't carry, is escaped."""
    return _quote_ascii(text) if _SURROGATE.search(text) else _quote(text)


def bad(reason: str, field: str, detail: str) -> InvalidPredictionError:
    """Return the error about a field."""
    return InvalidPredictionError(reason, field, detail)


def encode(value: Any, field: str, nan: NaN = "error") -> bytes:
    """Return a value as compact JSON text, in UTF-8.

    Args:
        value: What ML code has: plain Python, Decimal, aware datetimes, UUIDs, enums, dataclasses,
            pydantic models, numpy scalars and arrays, and whatever has a ``tolist`` method.
        field: The value's name, for errors. Empty for an object whose members are the fields.
        nan: ``"error"``, or ``"null"`` to write NaN and infinities as null.

    Raises:
        InvalidPredictionError: The value holds what JSON can't, with the path to it.
    """
    try:
        if orjson is not None:
            text: bytes = orjson.dumps(value, _simpler, _ORJSON_OPTIONS)
            # orjson writes NaN as null: only where there is a null can there have been one.
            if b"null" not in text or (nan == "null" or not _has_nan(value)):
                return text
        else:
            return json.dumps(
                value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_simpler
            ).encode()
    except (TypeError, ValueError, OverflowError, RecursionError, _UseWriterError):
        pass  # the writer takes it, or says what is wrong with it, and where
    out: list[str] = []
    Writer(out.append, nan).write(value, field, 0)
    return "".join(out).encode()


class _UseWriterError(Exception):
    """A value that only the writer can write."""


_ORJSON_OPTIONS = 0
if orjson is not None:
    # Its own ways would let datetimes without a zone pass, and leave out fields that begin with "_".
    _ORJSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def _simpler(value: Any) -> Any:
    """Return what an encoder can take for a value that it can't."""
    if isinstance(value, Decimal):
        raise _UseWriterError
    if orjson is not None and getattr(getattr(value, "dtype", None), "kind", "") in ("f", "i", "u"):
        try:  # arrays of numbers in one go
            return orjson.Fragment(orjson.dumps(value, None, orjson.OPT_SERIALIZE_NUMPY))
        except TypeError:
            pass  # an array that is a view of another, or not numpy's
    return simplify(value, "")


def simplify(value: Any, field: str) -> Any:
    """Return a value of another type as one of JSON's, one level deep.

    Raises:
        InvalidPredictionError: There is no such value.
    """
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise bad(
                "field_type",
                field,
                "is a datetime without a zone: add one, such as datetime.now(timezone.utc)",
            )
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    for method in ("model_dump", "_asdict"):  # pydantic 2, and records
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return getattr(value, method)()
    dtype = str(getattr(value, "dtype", ""))
    if dtype.startswith(("datetime64", "<M8")):
        raise bad("field_type", field, "is a numpy datetime, which has no zone: use a datetime that has")
    if dtype in ("float32", "float16") and hasattr(value, "astype"):
        # The shortest decimals that are this float32, as orjson writes it: 0.1, not 0.10000000149011612.
        value = value.astype("float32")
        return _floats(value.astype(str).tolist() if getattr(value, "shape", ()) else str(value))
    if callable(getattr(value, "tolist", None)):
        return value.tolist()
    if type(value).__name__ == "NAType" or type(value).__name__ == "NaTType":
        return math.nan  # pandas' own
    name = type(value).__name__
    hint = ": decode it, or send it as base64" if isinstance(value, (bytes, bytearray)) else ""
    raise bad("field_type", field, f"is of the type {name}, which is not JSON's{hint}")


def _floats(text: Any) -> Any:
    return [_floats(t) for t in text] if isinstance(text, list) else float(text)


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, (str, int, bytes)) or value is None:
        return False
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_nan, value))
    return _has_nan(simplify(value, ""))


class Writer:
    """Writes any value, piece by piece: slowly, but with every digit, and with a path for errors."""

    def __init__(self, out: Callable[[str], object], nan: NaN) -> None:
        self._out = out
        self._nan = nan

    def write(self, value: Any, field: str, depth: int) -> None:
        """Write a value, which is ``depth`` levels inside of another."""
        if value is None:
            self._out("null")
        elif isinstance(value, str):
            self._out(quote(value))
        elif isinstance(value, bool):
            self._out("true" if value else "false")
        elif isinstance(value, int):
            self._out(int.__repr__(value))
        elif isinstance(value, float):
            self._number(float.__repr__(value), math.isfinite(value), field)
        elif isinstance(value, Decimal):
            self._number(_digits(value), value.is_finite(), field)
        elif depth == _MAX_DEPTH:
            raise bad("nesting", field, f"is nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(value, dict):
            self._object(value, field, depth)
        elif isinstance(value, (list, tuple)):
            self._array(value, field, depth)
        else:
            self.write(simplify(value, field), field, depth + 1)

    def _number(self, text: str, finite: bool, field: str) -> None:
        if finite:
            self._out(text)
        elif self._nan == "null":
            self._out("null")
        else:
            raise bad("number", field, _NOT_FINITE.format(text))

    def _object(self, value: dict[Any, Any], field: str, depth: int) -> None:
        prefix = f"{field}." if field else ""
        separator = "{"
        for name, member in value.items():
            text = _name(name, field)
            self._out(f"{separator}{quote(text)}:")
            self.write(member, prefix + text, depth + 1)
            separator = ","
        self._out("}" if value else "{}")

    def _array(self, value: Iterable[Any], field: str, depth: int) -> None:
        separator = "["
        for i, element in enumerate(value):
            self._out(separator)
            self.write(element, f"{field}[{i}]", depth + 1)
            separator = ","
        self._out("]" if separator == "," else "[]")


def _name(name: Any, field: str) -> str:
    """Return a member's name. What isn't a string becomes what the standard library makes of it."""
    if isinstance(name, str):
        return name
    if hasattr(name, "item") and not isinstance(name, type):  # numpy's scalars
        name = name.item()
    if name is None or isinstance(name, (bool, int, float)):
        text: str = json.dumps({name: 0})[2:-5]
        return text
    raise bad("field_type", field, f"has a name of the type {type(name).__name__}: use strings")


def _digits(value: Decimal) -> str:
    """Return a Decimal as a JSON number: str() writes what is one, for finite values."""
    return str(value)


_LONG = re.compile(r"[0-9]{19}")


def decode(text: str, decimals: bool) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The text.
        decimals: Whether numbers with a fraction or an exponent become Decimal, with every digit, and
            not float. Integers are int in both ways.

    Raises:
        ValueError: It is not JSON.
    """
    if decimals:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    if orjson is not None and not _LONG.search(text):  # else integers of over 64 bits become floats
        try:
            return orjson.loads(text)
        except ValueError:
            pass  # half a surrogate pair, or deep nesting; or it isn't JSON, which the next line says
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def loads(body: bytes) -> Any:
    """Return the value of an answer of AWS, in which no number is long."""
    if orjson is not None:
        return orjson.loads(body)
    return json.loads(body)


def quoted(text: str) -> str:
    """Return a string as JSON text, for a request."""
    if orjson is not None:
        try:
            return str(orjson.dumps(text), "utf-8")
        except TypeError:
            pass
    return quote(text)


def quoted_bytes(text: str) -> bytes:
    """Return a string as JSON text in UTF-8, for a request."""
    if orjson is not None:
        return bytes(orjson.dumps(text))
    return _quote(text).encode()
