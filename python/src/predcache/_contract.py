"""The contract of messages and items: names, limits, and what the worker would reject.

``contract/`` in the repository has it for every language; the tests run all of its vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from predcache._json import bad, simplify

# The fields of a message, by their default names.
ID = "predictionId"
TIMESTAMP = "timestamp"
PAYLOAD = "prediction"
TTL_SECONDS = "ttlSeconds"
EXPIRES_AT = "expiresAt"
DELETED = "deleted"  # also the attribute that marks a tombstone
FIELDS = (ID, TIMESTAMP, PAYLOAD, TTL_SECONDS, EXPIRES_AT, DELETED)

# The arguments of publish, by their fields.
ARGUMENTS = {
    ID: "id",
    TIMESTAMP: "timestamp",
    PAYLOAD: "payload",
    TTL_SECONDS: "ttl",
    EXPIRES_AT: "expires_at",
}

# The attributes that every item has beside its key and its TTL.
CREATED_AT = "createdAt"
ENCODING = "encoding"
SENT = "predcache.sent"
OWN = (CREATED_AT, PAYLOAD, ENCODING, SENT, DELETED)

Encoding = Literal["json", "map", "zstd"]

# DynamoDB's limits ("Quotas in Amazon DynamoDB", "Supported data types and naming rules").
MAX_ITEM = 400 << 10
MAX_HASH_BYTES = 2048
MAX_SORT_BYTES = 1024
MAX_DIGITS = 38
MAX_MAGNITUDE = 125
MIN_MAGNITUDE = -130
MAX_NESTING = 32
MAX_NAME_BYTES = (64 << 10) - 1

# SQS's limits: of a message, and of all messages of a call ("Amazon SQS message quotas").
MAX_MESSAGE = 1 << 20
MAX_ENTRIES = 10
# What SQS bills as one request ("Amazon SQS pricing"): a packed message ends there.
PACK_BYTES = 64 << 10

MAX_FUTURE = 300  # seconds: WORKER_MAX_FUTURE's default
MIN_EVENT_TIME = 946684800  # epoch seconds, the year 2000: WORKER_MIN_EVENT_TIME's default
MAX_PAYLOAD = 64 << 20  # what 400 KB of zstd may become


class Members(dict[str, Any]):
    """A JSON object in which a name is there twice, as it was read."""

    twice = ""


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, for json's object_pairs_hook."""
    members = dict(pairs)
    if len(members) < len(pairs):
        marked = Members(members)
        names = [name for name, _ in pairs]
        marked.twice = next(name for name in names if names.count(name) > 1)
        return marked
    return members


def string_key(value: str, field: str) -> str:
    """Check an id of a table whose hash key is a string, and return it."""
    if not value:
        raise bad("key", field, "is empty: a key has at least one byte")
    if len(value) > MAX_HASH_BYTES // 4:
        check_utf8("key", value, field)
        if (size := len(value.encode())) > MAX_HASH_BYTES:
            raise bad("key", field, f"has {size} bytes: a key has at most {MAX_HASH_BYTES}")
    elif not value.isascii():
        check_utf8("key", value, field)
    return value


def check_utf8(reason: str, text: str, field: str) -> None:
    """Refuse half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise bad(reason, field, "holds half a surrogate pair: send valid Unicode") from err


def number(value: Decimal | int, field: str) -> Decimal:
    """Check a number that DynamoDB is to hold, and return it without zeros at its end."""
    d = value if isinstance(value, Decimal) else Decimal(value)
    if not d.is_finite():
        raise bad("number", field, f"is {d}: DynamoDB has no such number")
    sign, digits, exponent = d.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped:
        return Decimal(0)
    magnitude = int(exponent) + len(text) - 1
    if len(stripped) > MAX_DIGITS:
        raise bad(
            "number",
            field,
            f"has a number of {len(stripped)} digits: DynamoDB holds {MAX_DIGITS}; send it as a"
            " string, or inside the payload, which is stored as text",
        )
    if not MIN_MAGNITUDE <= magnitude <= MAX_MAGNITUDE:
        raise bad(
            "number",
            field,
            "has a number outside DynamoDB's range of 1E-130 to 9.9E+125: send it as a string, or"
            " inside the payload, which is stored as text",
        )
    return Decimal((sign, tuple(map(int, stripped)), magnitude - len(stripped) + 1))


def plain(value: Decimal) -> str:
    """Return a checked number in the notation that DynamoDB returns keys in."""
    return f"{value:f}"


def number_size(value: Decimal) -> int:
    """Return a checked number's size in bytes ("DynamoDB item sizes and formats")."""
    if not value:
        return 1
    sign, digits, _ = value.as_tuple()
    return (len(digits) + 1) // 2 + 1 + sign


def native_size(value: Any, field: str, depth: int = 0) -> int:
    """Check a value that is to be stored natively, and return its size in bytes."""
    if depth == MAX_NESTING:
        raise bad(
            "nesting",
            field,
            f"is nested deeper than DynamoDB's {MAX_NESTING} levels: flatten it, or send it inside"
            " the payload, which is stored as text",
        )
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, str):
        check_utf8("field_value", value, field)
        return len(value.encode())
    if isinstance(value, int):
        return number_size(number(value, field))
    if isinstance(value, float):
        return number_size(number(Decimal(repr(value)), field))
    if isinstance(value, Decimal):
        return number_size(number(value, field))
    if isinstance(value, Mapping):
        return _map_size(value, field, depth + 1)
    if isinstance(value, (list, tuple)):
        return 3 + sum(
            1 + native_size(element, f"{field}[{i}]", depth + 1) for i, element in enumerate(value)
        )
    return native_size(simplify(value, field), field, depth)


def _map_size(value: Mapping[Any, Any], field: str, depth: int) -> int:
    if isinstance(value, Members):
        raise bad("duplicate_name", field, f"has the nested name {value.twice!r} twice")
    size = 3
    for name, member in value.items():
        check_name(str(name), field)
        size += 1 + len(str(name).encode()) + native_size(member, f"{field}.{name}", depth)
    return size


def check_name(name: str, field: str) -> None:
    """Check the name of an attribute, or of a member of one (then of the field)."""
    if not name:
        raise bad("field_value", field, "has an empty name: DynamoDB's have at least one byte")
    check_utf8("field_value", name, field)
    if len(name) > MAX_NAME_BYTES // 4 and len(name.encode()) > MAX_NAME_BYTES:
        raise bad("field_value", field, f"has a name of over {MAX_NAME_BYTES} bytes")


def check_index_key(declared: str, max_bytes: int, value: Any, field: str) -> None:
    """Check an attribute that is in the key of one of the table's indexes."""
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    if not (isinstance(value, str) if declared == "S" else is_number):
        raise bad("index_key", field, f"has to be {declared}, as an index of the table has it in its key")
    if isinstance(value, str) and not value:
        raise bad("index_key", field, "is empty, but an index of the table has it in its key")
    if isinstance(value, str) and len(value.encode()) > max_bytes:
        raise bad("index_key", field, f"has over {max_bytes} bytes, and is in the key of an index")
