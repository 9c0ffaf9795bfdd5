"""Makes messages: one line of JSON for each prediction, as the worker reads it."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from predcache import _contract as contract
from predcache import _json, _times
from predcache._json import bad
from predcache.errors import ConfigurationError, InvalidPredictionError
from predcache.rules import Rules

# A line of this length can't make an item of over 400 KB: natively a value is at most twice its text.
_SURELY_FITS = 190_000


class Encoder:
    """Turns predictions into lines. What the worker would reject is an error."""

    def __init__(self, rules: Rules, nan: _json.NaN) -> None:
        if nan not in ("error", "null"):
            raise ConfigurationError(f"nan is {nan!r}: use 'error' or 'null'")
        self._rules = rules
        self._nan = nan
        self._plain_ids = not rules.layout.numeric
        self._checks_payload = rules.payload_encoding == "map"

    def line(
        self,
        id: Any,  # noqa: A002
        payload: Any,
        timestamp: Any,
        ttl: Any,
        expires_at: Any,
        attributes: Mapping[str, Any],
    ) -> bytes:
        """Return a prediction as one line of JSON, in UTF-8.

        Raises:
            InvalidPredictionError: The worker would reject it.
        """
        try:
            return self._line(id, payload, timestamp, ttl, expires_at, attributes)
        except InvalidPredictionError as err:
            err.id = id
            raise

    def _line(
        self,
        id: Any,  # noqa: A002
        payload: Any,
        timestamp: Any,
        ttl: Any,
        expires_at: Any,
        attributes: Mapping[str, Any],
    ) -> bytes:
        rules = self._rules
        fields, created = self._head(id, timestamp)
        fields[contract.PAYLOAD] = payload
        if ttl is not None or expires_at is not None:
            self._life(fields, created, ttl, expires_at)
        others = 0
        if attributes:
            others = rules.attributes_size(attributes)
            fields.update(attributes)
        if self._checks_payload:
            rules.check_payload(payload)
        line = _json.encode(fields, "", self._nan)
        if len(line) > _SURELY_FITS:
            size = len(_json.encode(payload, contract.PAYLOAD, self._nan))
            rules.check_size(fields[contract.ID], created, others, size)
            check_message(line)
        return line

    def _head(self, id: Any, timestamp: Any) -> tuple[dict[str, Any], int | None]:  # noqa: A002
        """Return the fields of id and event time, and the event time in attoseconds unless it is now."""
        if id is None:
            raise _no_id()
        if type(id) is str and self._plain_ids:
            key: Any = contract.string_key(id, contract.ID)
        else:
            key = self._rules.key(id)
        created: int | None = None
        if timestamp is None:
            timestamp = time.time_ns() // 1000
        else:
            created = self._rules.event_time(timestamp)
            if isinstance(timestamp, datetime.datetime):
                timestamp = number_of(created)
        return {contract.ID: key, contract.TIMESTAMP: timestamp}, created

    def _life(self, fields: dict[str, Any], created: int | None, ttl: Any, expires_at: Any) -> None:
        """Add the field of a life, which is given by its length or by its end."""
        self._rules.check_life(created, ttl, expires_at)
        if isinstance(ttl, datetime.timedelta):
            ttl = _times.finite_seconds(ttl, contract.TTL_SECONDS)
        if isinstance(expires_at, datetime.datetime):
            expires_at = _times.parse(expires_at, contract.EXPIRES_AT) // _times.ATTO
        if ttl is not None:
            fields[contract.TTL_SECONDS] = ttl
        else:
            fields[contract.EXPIRES_AT] = expires_at

    def delete(self, id: Any, timestamp: Any, ttl: Any, expires_at: Any) -> bytes:  # noqa: A002
        """Return a delete as one line of JSON, in UTF-8.

        Raises:
            InvalidPredictionError: The worker would reject it.
        """
        try:
            fields, created = self._head(id, timestamp)
            fields[contract.DELETED] = True
            if ttl is not None or expires_at is not None:
                self._life(fields, _begin(created), ttl, expires_at)
            return _json.encode(fields, "")
        except InvalidPredictionError as err:
            err.id = id
            raise

    def lines(
        self,
        predictions: Iterable[Mapping[str, Any] | tuple[Any, ...]],
        on_invalid: Callable[[InvalidPredictionError], object] | None,
    ) -> Iterator[bytes]:
        """Yield the line of each prediction: a mapping of ``line``'s arguments, or a tuple.

        Raises:
            InvalidPredictionError: The worker would reject one, and nobody is told by ``on_invalid``.
        """
        for row, prediction in enumerate(predictions):
            try:
                line = self._row(prediction)
            except InvalidPredictionError as err:
                err.row = row
                if on_invalid is None:
                    raise
                on_invalid(err)
            else:
                yield line

    def _row(self, prediction: Mapping[str, Any] | tuple[Any, ...]) -> bytes:
        if isinstance(prediction, tuple) and 2 <= len(prediction) <= 3:
            id_, payload, *rest = prediction
            return self.line(id_, payload, rest[0] if rest else None, None, None, {})
        if not isinstance(prediction, Mapping):
            what = (
                f"a tuple of {len(prediction)}"
                if isinstance(prediction, tuple)
                else type(prediction).__name__
            )
            raise bad(
                "field_type",
                "",
                f"is {what}: give a mapping of the arguments of publish, or a tuple of id, payload and"
                " perhaps timestamp",
            )
        others = dict(prediction)
        id_ = others.pop("id", None)
        if _is_delete(others.pop("deleted", False), id_):
            times = [others.get(name) for name in ("timestamp", "ttl", "expires_at")]
            return self.delete(id_, *times)
        if "payload" not in others:
            err = bad("missing_field", contract.PAYLOAD, "is missing: give the argument `payload`")
            err.id = id_
            raise err if id_ is not None else _no_id()
        return self.line(
            id_,
            others.pop("payload"),
            others.pop("timestamp", None),
            others.pop("ttl", None),
            others.pop("expires_at", None),
            others,
        )

    def raw_line(self, text: str) -> bytes:
        """Return a JSON object that is a prediction already as one line.

        Raises:
            InvalidPredictionError: The worker would reject it.
        """
        text = text.removeprefix("\ufeff")  # which some editors begin a file with
        members = parse(text)
        try:
            self._check(members)
            # A line end can only stand between tokens: inside of a string JSON has it escaped.
            line = text.strip().replace("\r", " ").replace("\n", " ")
            check_message(encoded := line.encode())
        except InvalidPredictionError as err:
            err.id = members.get(contract.ID)
            raise
        return encoded

    def _check(self, members: dict[str, Any]) -> None:
        rules = self._rules
        if isinstance(members, contract.Members):
            raise bad("duplicate_name", members.twice, "is there twice: send it once")
        key = rules.key(members.get(contract.ID))
        created = None
        if (timestamp := members.get(contract.TIMESTAMP)) is not None:
            created = rules.event_time(timestamp)
        life = members.get(contract.TTL_SECONDS), members.get(contract.EXPIRES_AT)
        if _is_delete(members.get(contract.DELETED, False), members.get(contract.ID)):
            rules.check_life(_begin(created), *life)
            return
        if contract.PAYLOAD not in members:
            raise bad("missing_field", contract.PAYLOAD, "is missing")
        rules.check_life(created, *life)
        others = rules.attributes_size(
            {name: value for name, value in members.items() if name not in contract.FIELDS}
        )
        payload = members[contract.PAYLOAD]
        rules.check_payload(payload)
        rules.check_size(key, created, others, len(_json.encode(payload, contract.PAYLOAD)))


def _no_id() -> InvalidPredictionError:
    return bad("missing_field", contract.ID, "is missing: the argument `id` is absent or None")


def _is_delete(deleted: Any, id_: Any) -> bool:
    """Tell whether the field ``deleted`` makes a delete."""
    if not isinstance(deleted, (bool, str)) and hasattr(deleted, "item"):  # numpy's
        deleted = deleted.item()
    if not isinstance(deleted, bool):
        err = bad("field_type", contract.DELETED, "is no boolean: send true for a delete, or leave it out")
        err.id = id_
        raise err
    return deleted


def _begin(created: int | None) -> int:
    """Return when the life of a tombstone begins: at the later of event time and sent time."""
    return max(created or 0, int(time.time()) * _times.ATTO)


def parse(text: str) -> dict[str, Any]:
    """Return the members of a prediction that is JSON text, with every digit of its numbers.

    Raises:
        InvalidPredictionError: It is no JSON object.
    """
    try:
        value = json.loads(
            text,
            parse_float=Decimal,
            parse_constant=_constant,
            object_pairs_hook=contract.object_of,
        )
    except RecursionError as err:
        raise bad("nesting", "", "the text is nested too deeply") from err
    except _NotFiniteError as err:
        detail = f"holds {err}, which JSON has no number for: publish null"
        raise bad("number", _holder(text), detail) from err
    except ValueError as err:
        raise bad("syntax", "", f"the text is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise bad("field_type", "", "the text is JSON, but no object")
    return value


class _NotFiniteError(Exception):
    """JSON text has NaN or an infinity."""


def _constant(text: str) -> Any:
    raise _NotFiniteError(text)


def _holder(text: str) -> str:
    """Return the member that holds NaN or an infinity, in a text that has one."""
    try:
        value = json.loads(text, parse_float=lambda _: 0)
    except ValueError as err:
        raise bad("syntax", "", f"the text is not JSON: {err}") from err
    for name, member in value.items() if isinstance(value, dict) else ():
        try:
            json.dumps(member, allow_nan=False)
        except ValueError:
            return str(name)
    return ""


def number_of(atto: int) -> int | Decimal:
    """Return a time as the number that a message has: whole microseconds where that is exact.

    Numbers below 1e14 would be read as milliseconds or seconds, so early times are Decimal seconds.
    """
    micros, rest = divmod(atto, 10**12)
    if rest == 0 and micros >= 10**14:
        return micros
    return Decimal(_times.seconds_text(atto))


def check_message(line: bytes) -> None:
    """Refuse what no message can carry."""
    if len(line) > contract.MAX_MESSAGE:
        raise bad(
            "too_large",
            "",
            f"the prediction has {len(line)} bytes of SQS's {contract.MAX_MESSAGE}: send a smaller one",
        )


def body_of(lines: list[bytes]) -> str:
    """Join lines into a message's body.

    JSON may have U+FFFE and U+FFFF as they are, and SQS refuses them ("SendMessage"): they are escaped.
    They can only be inside of strings.
    """
    body = b"\n".join(lines).decode()
    if not body.isascii():
        body = body.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return body
