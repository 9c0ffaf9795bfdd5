"""Times as the contract has them: exact to 18 decimals of a second, as a number of attoseconds."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from typing import Any

from predcache._json import bad

ATTO = 10**18  # in a second
_MICRO = 10**12  # attoseconds in a microsecond
LATEST = 253402300799  # the end of the year 9999 in epoch seconds
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)

# RFC 3339, and what Python's str, SQL and others make of it: a space for the T, offsets like +0000 and +00.
_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII
)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_NO_ZONE = "is a time without a zone: add one, such as Z for UTC"
_NOT_A_TIME = "is no time: send a datetime with its zone, RFC 3339 text, or a number since 1970"


def parse(value: Any, field: str) -> int:
    """Return a time of a message in attoseconds since 1970.

    Args:
        value: A datetime with its zone, RFC 3339 text with its zone, or a number of seconds (below
            1e11), milliseconds (below 1e14), microseconds (below 1e17) or nanoseconds since 1970, also as
            text.
        field: The field's name, for errors.

    Raises:
        InvalidPredictionError: It is no such time, or it is before 1970 or after the year 9999.
    """
    if isinstance(value, bool):
        raise bad("field_type", field, _NOT_A_TIME)
    if isinstance(value, int):
        return _checked(_scaled(value), field)
    if isinstance(value, (float, Decimal)):
        return _decimal(Decimal(repr(value)) if isinstance(value, float) else value, field)
    if isinstance(value, datetime.datetime):
        return _datetime(value, field)
    if isinstance(value, str):
        return _text(value, field)
    raise bad("field_type", field, _NOT_A_TIME)


def _scaled(n: int) -> int:
    """Return an integer, whose size tells its unit."""
    size = abs(n)
    if size < 10**11:
        return n * ATTO
    if size < 10**14:
        return n * 10**15
    return n * (10**12 if size < 10**17 else 10**9)


def _decimal(value: Decimal, field: str) -> int:
    if not value.is_finite():
        raise bad("number", field, f"is {value}: send a time, or leave it out")
    if value and (value.adjusted() > 40 or value.adjusted() < -40):
        raise bad("field_value", field, "is out of range: send a time of 1970 to 9999")
    scale = 18
    for digits, decimals in ((11, 18), (14, 15), (17, 12)):
        if value.adjusted() < digits:
            scale = decimals
            break
    else:
        scale = 9
    return _checked(exact(value, scale, field), field)


def exact(value: Decimal, scale: int, field: str) -> int:
    """Return a Decimal times ten to the power of ``scale``, which has to be whole."""
    sign, digits, exponent = value.as_tuple()
    n = int("".join(map(str, digits)) or "0")
    shift = int(exponent) + scale
    if shift >= 0:
        n *= int(10**shift)
    else:
        n, rest = divmod(n, 10**-shift)
        if rest:
            raise bad("field_value", field, "has more than 18 decimals of a second")
    return -n if sign else n


def _datetime(value: datetime.datetime, field: str) -> int:
    if value.tzinfo is None or value.utcoffset() is None:
        raise bad(
            "field_type",
            field,
            "is a datetime without a zone: add one, such as datetime.now(timezone.utc)",
        )
    nanoseconds = getattr(value, "nanosecond", 0)  # pandas' Timestamp has them
    delta = value - EPOCH
    micros = (delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds
    return _checked(micros * _MICRO + nanoseconds * 10**9, field)


def _text(value: str, field: str) -> int:
    if _NUMBER.fullmatch(value):
        return _decimal(Decimal(value), field)
    m = _FORM.fullmatch(value)
    if m is None:
        raise bad("field_type", field, _NOT_A_TIME)
    date, clock, fraction, utc, sign, hours, minutes = m.groups()
    if utc is None and sign is None:
        raise bad("field_type", field, _NO_ZONE)
    try:
        t = datetime.datetime.fromisoformat(f"{date}T{clock}")
    except ValueError as err:
        raise bad("field_type", field, _NOT_A_TIME) from err
    delta = t - datetime.datetime(1970, 1, 1)
    seconds = delta.days * 86400 + delta.seconds
    if sign:
        if int(hours) > 23 or int(minutes or 0) > 59:
            raise bad("field_type", field, _NOT_A_TIME)
        offset = int(hours) * 3600 + int(minutes or 0) * 60
        seconds += offset if sign == "-" else -offset
    decimals = (fraction or "").rstrip("0")
    if len(decimals) > 18:
        raise bad("field_value", field, "has more than 18 decimals of a second")
    return _checked(seconds * ATTO + int(decimals.ljust(18, "0")), field)


def _checked(atto: int, field: str) -> int:
    if atto < 0:
        raise bad("field_value", field, "is before 1970: send a time of 1970 to 9999")
    if atto >= (LATEST + 1) * ATTO:
        raise bad("field_value", field, "is after the year 9999: send a time of 1970 to 9999")
    return atto


def parse_seconds(text: str) -> int:
    """Return the attoseconds of a DynamoDB number of seconds.

    Raises:
        ValueError: It is none, or out of range.
    """
    whole, point, fraction = text.partition(".")
    if whole.isdecimal() and whole.isascii() and len(whole) <= 12:
        if not point:
            return int(whole) * ATTO
        if fraction.isdecimal() and fraction.isascii() and len(fraction) <= 18:
            return int(whole) * ATTO + int(fraction.ljust(18, "0"))
    try:
        value = Decimal(text)
        if not value.is_finite() or value < 0 or value >= LATEST + 1:
            raise ValueError
        return exact(value, 18, "")
    except (ValueError, ArithmeticError) as err:
        raise ValueError("is no time in seconds") from err


def to_datetime(atto: int) -> datetime.datetime:
    """Return a time as an aware datetime in UTC, cut to microseconds."""
    return EPOCH + datetime.timedelta(microseconds=atto // _MICRO)


def seconds_text(atto: int) -> str:
    """Return a time as decimal seconds with as many decimals as it has."""
    whole, fraction = divmod(atto, ATTO)
    return f"{whole}.{fraction:018}".rstrip("0") if fraction else str(whole)


def finite_seconds(value: Any, field: str) -> Decimal:
    """Return a length of time as exact seconds, from a number or a timedelta.

    Raises:
        InvalidPredictionError: It is neither, or not above 0.
    """
    if isinstance(value, datetime.timedelta):
        micros = (value.days * 86400 + value.seconds) * 10**6 + value.microseconds
        value = Decimal(micros) / 10**6
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise bad("field_type", field, "is no number: send seconds, or a timedelta")
    if isinstance(value, float) and not math.isfinite(value):
        raise bad("number", field, f"is {value}: send seconds above 0, or leave it out")
    seconds = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not seconds.is_finite() or seconds <= 0 or seconds.adjusted() > 11:
        raise bad("field_value", field, "is out of range: send seconds above 0")
    return seconds
