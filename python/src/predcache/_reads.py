"""What to ask a table, and what its answers mean. It calls nothing: cache.py and aio/ do."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from decimal import Decimal
from typing import Any

from predcache import _contract as contract
from predcache import _times
from predcache._json import quoted, quoted_bytes
from predcache._query import MAX_UNIT, Call, Pause, Query, unit_of
from predcache.errors import (
    CallError,
    ConfigurationError,
    ItemError,
    PredcacheError,
    ServiceError,
    counted,
)
from predcache.layout import Layout, from_description
from predcache.prediction import Found, Prediction, Tombstone, item_error, newest
from predcache.rules import Rules

MAX_BATCH_GET = 100  # "BatchGetItem"
_MAX_IDLE = 8  # answers in a row that leave everything unprocessed: about 10 seconds with the waits

# Pages of a Query for the newest: one item, since that is nearly always live, then some, then what fits.
_PAGES = (1, 25, 0)

# The sort key of a tombstone is U + (1 + f) / 2, where U is the event time in whole units and f the rest of
# it. f has up to 18 decimals, so the key has up to 19.
_LAST_FRACTION = "9" * 19


class Reads:
    """The reads of one table.

    Args:
        table: Its name or ARN.
        layout: Its layout, or None to ask for it.
        decimals: Whether predictions decode fractions to Decimal.
        consistent: Whether reads are strongly consistent, for twice the read units.
        uniform_life: Whether all predictions of an id live equally long.
        skip_foreign: Whether items that predcache did not write are misses, and not errors.
    """

    def __init__(
        self,
        table: str,
        layout: Layout | None,
        decimals: bool,
        consistent: bool,
        uniform_life: bool,
        skip_foreign: bool = False,
    ) -> None:
        self.table = table
        self.decimals = decimals
        self.uniform_life = uniform_life
        self._skip_foreign = skip_foreign
        self._told = layout is not None
        self.consistent = ',"ConsistentRead":true' if consistent else ""
        self.rules: Rules | None = None
        self.page_items = 0  # at most in a page or a batch; 0 is what fits
        self.per_second = 0  # sort units a second of the versioned layout; 0 until an item was seen
        if layout is not None:
            self._found(layout)

    def _found(self, layout: Layout) -> Rules:
        self.layout = layout
        table = quoted(self.table)
        hash_key = quoted(layout.hash_key)
        kind = "N" if layout.numeric else "S"
        self._get_head = f'{{"TableName":{table},"Key":{{{hash_key}:{{"{kind}":'.encode()
        self._get_tail = f"}}}}{self.consistent}}}".encode()
        self._batch_head = f'{{"RequestItems":{{{table}:{{"Keys":['.encode()
        self._batch_tail = f"]{self.consistent}}}}}}}".encode()
        self._batch_key = f'{{{hash_key}:{{"{kind}":'.encode()
        self.rules = Rules(layout=layout)
        return self.rules

    def discover(self) -> Generator[Call, Any, Rules]:
        """Ask for the layout.

        Raises:
            ConfigurationError: The table has none of predcache's.
        """
        body = f'{{"TableName":{quoted(self.table)}}}'.encode()
        table = (yield Call("DescribeTable", body))["Table"]
        ttl = (yield Call("DescribeTimeToLive", body)).get("TimeToLiveDescription", {})
        layout, _ = from_description(self.table, table, ttl)
        return self._found(layout)

    def newest(self, key: str) -> Generator[Call, Any, Found]:
        """Read the newest live prediction of an id, or the tombstone that hides it.

        The id is as its items have it.
        """
        if self.layout.sort_key is None:
            return self._item((yield self._get(key)))
        if self.layout.kind == "versioned":
            return (yield from self._newest_version(key))
        return (yield from self._newest_by_expiry(key))

    def _get(self, key: str) -> Call:
        return Call("GetItem", self._get_head + quoted_bytes(key) + self._get_tail)

    def _item(self, answer: dict[str, Any]) -> Found:
        item = answer.get("Item")
        return self.live(item, int(time.time())) if item else None

    def _newest_version(self, key: str) -> Generator[Call, Any, Found]:
        """Read the first live item by descending event time.

        A tombstone has a greater sort key than the prediction of its sort unit. So a prediction that comes
        first is visible. If a tombstone comes first, only the prediction of its unit can be newer: the unit
        is then read as a whole.
        """
        query = Query(self, key)
        page = 0
        while query.more:
            answer = yield Call("Query", query.body(_PAGES[min(page, len(_PAGES) - 1)] or self.page_items))
            for found in query.read(answer):
                if isinstance(found, Tombstone):
                    return (yield from self._newest_of_unit(key, found))
                return found
            page += 1
        return None

    def _newest_of_unit(self, key: str, tombstone: Tombstone) -> Generator[Call, Any, Found]:
        query = Query(self, key)
        query.between(tombstone.unit, f"{tombstone.unit}.{_LAST_FRACTION}")
        best: Found = tombstone
        while query.more:
            for found in query.read((yield Call("Query", query.body(self.page_items)))):
                best = newest(best, found)
        return best

    def _newest_by_expiry(self, key: str) -> Generator[Call, Any, Found]:
        """Read all live items, or under uniform_life those down to the first prediction.

        A tombstone lives at least as long as a prediction. Under uniform_life, the tombstone that hides a
        prediction therefore has the greater sort key and comes first.
        """
        query = Query(self, key)
        best: Found = None
        page = 0
        while query.more:
            limit = _PAGES[min(page, len(_PAGES) - 1)] if self.uniform_life else 0
            for found in query.read((yield Call("Query", query.body(limit or self.page_items)))):
                # Of two predictions of one event time, the one that lives longer came first.
                best = newest(best, found)
                if self.uniform_life and isinstance(found, Prediction):
                    return best
            page += 1
        return best

    def batch(
        self,
        keys: list[str],
        found: dict[str, Found],
        errors: dict[str, PredcacheError],
    ) -> Generator[Call | Pause, Any, None]:
        """Read up to a hundred ids of a latest-only table, again where they come back unprocessed."""
        left = [self._batch_key + quoted_bytes(key) + b"}}" for key in keys]
        idle = 0
        while True:
            body = self._batch_head + b",".join(left) + self._batch_tail
            answer = yield Call("BatchGetItem", body)
            now = int(time.time())
            for items in answer.get("Responses", {}).values():
                for item in items:
                    self._one_of_batch(item, now, found, errors)
            unprocessed = [
                key for asked in answer.get("UnprocessedKeys", {}).values() for key in asked["Keys"]
            ]
            if not unprocessed:
                return
            idle = idle + 1 if len(unprocessed) == len(left) else 1
            if idle > _MAX_IDLE:
                raise CallError(
                    "BatchGetItem", f"DynamoDB left {counted(len(left), 'id')} unprocessed {idle} times"
                )
            left = [self._batch_key + quoted_bytes(self._key_text(key)) + b"}}" for key in unprocessed]
            yield Pause(random.uniform(0, min(0.05 * 2 ** (idle - 1), 5)))  # noqa: S311

    def _one_of_batch(
        self,
        item: dict[str, Any],
        now: int,
        found: dict[str, Found],
        errors: dict[str, PredcacheError],
    ) -> None:
        key = self._key_text(item)
        try:
            live = self.live(item, now)
            if live is not None:
                found[live.id] = live
        except ItemError as err:
            errors[key] = err
            found.pop(key, None)

    def _key_text(self, item: dict[str, Any]) -> str:
        ((_, text),) = item[self.layout.hash_key].items()
        return str(text)

    def live(self, item: dict[str, Any], now: int) -> Found:
        """Return an item's prediction, or its tombstone, or None where its life is over.

        Raises:
            ItemError: It is none that the worker has written.
        """
        layout = self.layout
        if self._skip_foreign and contract.CREATED_AT not in item:
            return None
        try:
            expires = int(item[layout.ttl_attribute]["N"])
            key = item[layout.hash_key]
            if layout.numeric:
                id_ = contract.plain(contract.number(Decimal(key["N"]), layout.hash_key))
            else:
                id_ = key["S"]
        except (KeyError, TypeError, ValueError, ArithmeticError) as err:
            detail = f"the key or the attribute {layout.ttl_attribute!r} is missing or of another type"
            if self._told:
                detail += "; check that layout= names the table's TTL attribute"
            raise item_error(self.table, layout, item, self._foreign(item, detail)) from err
        if self.per_second == 0 and layout.kind == "versioned":
            self._learn_unit(item)
        if expires <= now:
            return None
        prediction = Prediction(self.table, layout, item, self.decimals, id_, expires)
        if contract.DELETED in item and item[contract.DELETED].get("BOOL") is True:
            return self._tombstone(prediction, item)
        if contract.PAYLOAD not in item:
            raise prediction.error(self._foreign(item, f"the attribute {contract.PAYLOAD!r} is missing"))
        if contract.CREATED_AT not in item:
            raise prediction.error(self._foreign(item, f"the attribute {contract.CREATED_AT!r} is missing"))
        return prediction

    def _foreign(self, item: dict[str, Any], detail: str) -> str:
        """Return the detail of an ItemError, with the remedy where predcache did not write the item."""
        if contract.CREATED_AT in item:
            return detail
        return f"it was not written by predcache: {detail}; skip_foreign=True takes such items for misses"

    def wrong_layout(self, err: CallError) -> ConfigurationError | None:
        """Return the error to raise where DynamoDB refuses reads by the key that the user has given."""
        refused = isinstance(err, ServiceError) and err.code == "ValidationException"
        if not refused or not self._told or self.rules is None:
            return None
        layout = self.layout
        keys = [f"{layout.hash_key!r} ({'N' if layout.numeric else 'S'})"]
        if layout.sort_key is not None:
            keys.append(f"{layout.sort_key!r} (N)")
        return ConfigurationError(
            f"the table {self.table!r} refuses reads by the key that layout= gives, {' and '.join(keys)}:"
            f" leave layout= out, or give the table's own layout ({err})"
        )

    def _tombstone(self, prediction: Prediction, item: dict[str, Any]) -> Tombstone:
        sort_key = self.layout.sort_key
        try:
            unit = unit_of(item, sort_key)
        except (KeyError, TypeError, ValueError, ArithmeticError) as err:
            raise prediction.error(f"the key {sort_key!r} is missing or of another type") from err
        return Tombstone(prediction.id, prediction.created, prediction.expires, unit)

    def _learn_unit(self, item: dict[str, Any]) -> None:
        """Learn from an item what the table can't tell: in which unit its sort key is."""
        try:
            seconds = _times.parse_seconds(item[contract.CREATED_AT]["N"]) // _times.ATTO
            self.per_second = 1 if unit_of(item, self.layout.sort_key) == seconds else 1000
        except (KeyError, TypeError, ValueError, ArithmeticError):
            pass  # the item is reported when it is read

    def history(
        self, key: str, since: int | None, until: int | None, oldest_first: bool
    ) -> Generator[Call | Prediction, Any, None]:
        """Read an id's live predictions of an interval of event times that no tombstone hides.

        It yields the predictions, in order, and the calls, whose answers are sent back.
        """
        low = since or 0
        high = until if until is not None else (_times.LATEST + 1) * _times.ATTO
        if high <= low:
            return
        if self.layout.sort_key is None:
            found = self._item((yield self._get(key)))
            if isinstance(found, Prediction) and low <= found.created < high:
                yield found
        elif self.layout.kind == "versioned":
            yield from self._history_of_versions(key, since, until, oldest_first)
        else:
            yield from self._history_by_expiry(key, low, high, oldest_first)

    def _history_of_versions(
        self, key: str, since: int | None, until: int | None, oldest_first: bool
    ) -> Generator[Call | Prediction, Any, None]:
        bounded = since is not None or until is not None
        low = since or 0
        high = until if until is not None else (_times.LATEST + 1) * _times.ATTO
        low_unit, high_unit = 0, MAX_UNIT
        if bounded:
            if self.per_second == 0:
                yield from self._ask_unit(key)
            if self.per_second == 0:
                return  # the id has no item, or none that tells the unit
            scale = _times.ATTO // self.per_second
            low_unit, high_unit = low // scale, high // scale
        if oldest_first or until is not None:
            # A tombstone beyond the range hides what is in it; oldest first, one at its end does too.
            tombstone = yield from self._newest_tombstone(key, low_unit if oldest_first else high_unit)
            if tombstone is not None:
                low = max(low, tombstone.created + 1)
                low_unit = max(low_unit, min(tombstone.unit, high_unit))
        if high <= low:
            return
        query = Query(self, key)
        if bounded or low_unit:
            query.between(low_unit, high_unit)
        query.oldest_first = oldest_first
        while query.more:
            for found in query.read((yield Call("Query", query.body(self.page_items)))):
                if isinstance(found, Tombstone):
                    low = max(low, found.created + 1)
                    if not oldest_first:
                        query.end_at(found.unit)
                elif low <= found.created < high:
                    yield found

    def _history_by_expiry(
        self, key: str, low: int, high: int, oldest_first: bool
    ) -> Generator[Call | Prediction, Any, None]:
        """Read all live items, the one that expires last first, and put the predictions in order.

        Under uniform_life, newest first, they come in order: the first hidden prediction ends the read.
        Oldest first, any tombstone may still hide the first prediction, so all are read before one is
        yielded.
        """
        query = Query(self, key)
        in_order = self.uniform_life and not oldest_first
        wanted: list[Prediction] = []
        while query.more:
            for found in query.read((yield Call("Query", query.body(self.page_items)))):
                if isinstance(found, Tombstone):
                    low = max(low, found.created + 1)
                elif in_order and found.created < low:
                    return
                elif in_order and found.created < high:
                    yield found
                elif low <= found.created < high:
                    wanted.append(found)
        wanted.sort(key=lambda p: p.created, reverse=not oldest_first)
        yield from (p for p in wanted if p.created >= low)

    def _ask_unit(self, key: str) -> Generator[Call, Any, None]:
        query = Query(self, key)
        query.filtered = False
        while query.more and self.per_second == 0:
            # One page, unless skip_foreign leaves out its item.
            for _ in query.read((yield Call("Query", query.body(1)))):
                pass

    def _newest_tombstone(self, key: str, unit: int) -> Generator[Call, Any, Tombstone | None]:
        """Read the newest live tombstone of an id whose sort unit is not below ``unit``."""
        query = Query(self, key)
        query.between(unit, MAX_UNIT)
        query.only_tombstones = True
        while query.more:
            for found in query.read((yield Call("Query", query.body(0)))):
                if isinstance(found, Tombstone):
                    return found
        return None
