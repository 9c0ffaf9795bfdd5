"""What to ask a table, and what its answers mean. It calls nothing: cache.py and aio/ do."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from predcache import _contract as contract
from predcache import _times
from predcache._json import quoted, quoted_bytes
from predcache.errors import CallError, ConfigurationError, ItemError, PredcacheError
from predcache.layout import Layout, from_description
from predcache.prediction import Prediction, item_error
from predcache.rules import Rules

MAX_BATCH_GET = 100  # "BatchGetItem"
_MAX_IDLE = 8  # answers in a row that leave everything unprocessed: about 10 seconds with the waits

# Pages of a Query for the newest: one item, since that is nearly always live, then some, then what fits.
_PAGES = (1, 25, 0)


@dataclass
class Call:
    """A call to be made; its answer is sent back."""

    operation: str
    body: bytes


@dataclass
class Pause:
    """A wait, in seconds."""

    seconds: float


class Reads:
    """The reads of one table.

    Args:
        table: Its name or ARN.
        layout: Its layout, or None to ask for it.
        decimals: Whether predictions decode fractions to Decimal.
        consistent: Whether reads are strongly consistent, for twice the read units.
        uniform_life: Whether all predictions of an id live equally long.
    """

    def __init__(
        self,
        table: str,
        layout: Layout | None,
        decimals: bool,
        consistent: bool,
        uniform_life: bool,
    ) -> None:
        if not table:
            raise ConfigurationError("the table's name is empty")
        self.table = table
        self.decimals = decimals
        self.uniform_life = uniform_life
        self._consistent = ',"ConsistentRead":true' if consistent else ""
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
        self._get_tail = f"}}}}{self._consistent}}}".encode()
        self._batch_head = f'{{"RequestItems":{{{table}:{{"Keys":['.encode()
        self._batch_tail = f"]{self._consistent}}}}}}}".encode()
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

    def newest(self, key: str) -> Generator[Call, Any, Prediction | None]:
        """Read the newest live prediction of an id, which is as its items have it."""
        if self.layout.sort_key is None:
            item = (yield Call("GetItem", self._get_head + quoted_bytes(key) + self._get_tail)).get("Item")
            return self.live(item, int(time.time())) if item else None
        query = Query(self, key)
        best: Prediction | None = None
        first_wins = self.layout.kind == "versioned" or self.uniform_life
        page = 0
        while True:
            limit = _PAGES[min(page, len(_PAGES) - 1)] if first_wins else 0
            limit = limit or self.page_items
            answer = yield Call("Query", query.body(limit))
            for prediction in query.read(answer):
                if first_wins:
                    return prediction
                # By expiry, descending: of two of one event time the one that lives longer came first.
                if best is None or prediction.created > best.created:
                    best = prediction
            if not query.more:
                return best
            page += 1

    def batch(
        self,
        keys: list[str],
        found: dict[str, Prediction | None],
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
                raise CallError("BatchGetItem", f"DynamoDB left {len(left)} ids unprocessed {idle} times")
            left = [self._batch_key + quoted_bytes(self._key_text(key)) + b"}}" for key in unprocessed]
            yield Pause(random.uniform(0, min(0.05 * 2 ** (idle - 1), 5)))  # noqa: S311

    def _one_of_batch(
        self,
        item: dict[str, Any],
        now: int,
        found: dict[str, Prediction | None],
        errors: dict[str, PredcacheError],
    ) -> None:
        key = self._key_text(item)
        try:
            prediction = self.live(item, now)
            if prediction is not None:
                found[prediction.id] = prediction
        except ItemError as err:
            errors[key] = err
            found.pop(key, None)

    def _key_text(self, item: dict[str, Any]) -> str:
        ((_, text),) = item[self.layout.hash_key].items()
        return str(text)

    def live(self, item: dict[str, Any], now: int) -> Prediction | None:
        """Return an item's prediction, or None where its life is over.

        Raises:
            ItemError: It is none that the worker has written.
        """
        layout = self.layout
        try:
            expires = int(item[layout.ttl_attribute]["N"])
            key = item[layout.hash_key]
            if layout.numeric:
                id_ = contract.plain(contract.number(Decimal(key["N"]), layout.hash_key))
            else:
                id_ = key["S"]
        except (KeyError, TypeError, ValueError, ArithmeticError) as err:
            raise item_error(
                self.table,
                layout,
                item,
                f"the key or the attribute {layout.ttl_attribute!r} is missing or of another type",
            ) from err
        if self.per_second == 0 and layout.kind == "versioned":
            self._learn_unit(item)
        if expires <= now:
            return None
        prediction = Prediction(self.table, layout, item, self.decimals, id_, expires)
        if contract.PAYLOAD not in item:
            raise prediction.error(f"the attribute {contract.PAYLOAD!r} is missing")
        if contract.CREATED_AT not in item:
            raise prediction.error(f"the attribute {contract.CREATED_AT!r} is missing")
        return prediction

    def _learn_unit(self, item: dict[str, Any]) -> None:
        """Learn from an item what the table can't tell: in which unit its sort key is."""
        try:
            seconds = _times.parse_seconds(item[contract.CREATED_AT]["N"]) // _times.ATTO
            self.per_second = 1 if int(item[self.layout.sort_key or ""]["N"]) == seconds else 1000
        except (KeyError, TypeError, ValueError):
            pass  # the item is reported when it is read

    def history(self, key: str, since: int | None, until: int | None, oldest_first: bool) -> History:
        """Return the read of an id's live predictions of an interval of event times."""
        return History(self, key, since, until, oldest_first)


class Query:
    """The pages of a Query of one id, newest sort key first.

    What has expired is left out by the service already, where that is cheap to say.
    """

    def __init__(self, reads: Reads, key: str) -> None:
        self._reads = reads
        self._key = key
        self.oldest_first = False
        self.between: tuple[int, int] | None = None
        self.filtered = True
        self.more = True
        self._start = ""

    def body(self, limit: int) -> bytes:
        """Return the request of the next page, of ``limit`` items; 0 is what fits into 1 MB."""
        layout = self._reads.layout
        kind = "N" if layout.numeric else "S"
        names = {"#h": layout.hash_key}
        values = f'":h":{{"{kind}":{quoted(self._key)}}}'
        condition = "#h = :h"
        filter_ = ""
        now = f',":now":{{"N":"{int(time.time())}"}}'
        if layout.kind == "expiry-sorted":
            names["#s"] = layout.ttl_attribute
            condition += " AND #s > :now"
            values += now
        elif self.filtered:
            # Not "#t > :now": an item without a readable expiry has to be seen, to be reported.
            names["#t"] = layout.ttl_attribute
            filter_ = ',"FilterExpression":"NOT #t <= :now"'
            values += now
        if self.between is not None:
            names["#s"] = layout.sort_key or ""
            condition += " AND #s BETWEEN :lo AND :hi"
            low, high = self.between
            values += f',":lo":{{"N":"{low}"}},":hi":{{"N":"{high}"}}'
        aliases = ",".join(f'"{alias}":{quoted(name)}' for alias, name in names.items())
        return (
            f'{{"TableName":{quoted(self._reads.table)},"ScanIndexForward":'
            f'{"true" if self.oldest_first else "false"},"KeyConditionExpression":"{condition}"{filter_},'
            f'"ExpressionAttributeNames":{{{aliases}}},"ExpressionAttributeValues":{{{values}}}'
            f'{self._reads._consistent}{self._start}{f""","Limit":{limit}""" if limit else ""}}}'
        ).encode()

    def read(self, answer: dict[str, Any]) -> Iterable[Prediction]:
        """Yield an answer's live predictions. Ask ``more`` after the last one."""
        start = answer.get("LastEvaluatedKey")
        self.more = bool(start)
        if start:
            pairs = (
                f"{quoted(name)}:{{{quoted(kind)}:{quoted(str(text))}}}"
                for name, value in start.items()
                for kind, text in value.items()
            )
            self._start = f',"ExclusiveStartKey":{{{",".join(pairs)}}}'
        now = int(time.time())
        for item in answer.get("Items", ()):
            prediction = self._reads.live(item, now)
            if prediction is not None:
                yield prediction


class History:
    """The read of an id's live predictions: ask ``next`` for a call, and give its answer to ``read``."""

    def __init__(
        self, reads: Reads, key: str, since: int | None, until: int | None, oldest_first: bool
    ) -> None:
        self._reads = reads
        self._key = key
        self._since = since or 0
        self._until = until if until is not None else (_times.LATEST + 1) * _times.ATTO
        self._bounded = since is not None or until is not None
        self._oldest_first = oldest_first
        self._query = Query(reads, key)
        self._query.oldest_first = oldest_first
        self._asking_unit = False
        self._done = self._until <= self._since
        kind = reads.layout.kind
        self._sorts = kind == "expiry-sorted" and not reads.uniform_life
        self._all: list[Prediction] = []

    def next(self) -> Call | None:
        """Return the next call, or None after the last one."""
        reads = self._reads
        if self._done:
            return None
        if reads.layout.sort_key is None:
            body = reads._get_head + quoted_bytes(self._key) + reads._get_tail
            return Call("GetItem", body)
        if self._bounded and reads.layout.kind == "versioned":
            if reads.per_second == 0:
                self._asking_unit = True
                query = Query(reads, self._key)
                query.filtered = False
                return Call("Query", query.body(1))
            scale = _times.ATTO // reads.per_second
            self._query.between = (self._since // scale, self._until // scale)
        return Call("Query", self._query.body(reads.page_items))

    def read(self, answer: dict[str, Any]) -> Iterable[Prediction]:
        """Yield what an answer has, in order.

        Raises:
            ItemError: An item can't be read.
        """
        if self._asking_unit:
            self._asking_unit = False
            for item in answer.get("Items", ()):
                self._reads.live(item, 0)
            # An id without an item has no history; one whose item tells no unit can't be bounded.
            self._done = self._reads.per_second == 0
            return
        if self._reads.layout.sort_key is None:
            self._done = True
            item = answer.get("Item")
            prediction = self._reads.live(item, int(time.time())) if item else None
            if prediction is not None and self._wanted(prediction):
                yield prediction
            return
        for prediction in self._query.read(answer):
            if self._wanted(prediction):
                if self._sorts:
                    self._all.append(prediction)
                else:
                    yield prediction
        self._done = not self._query.more
        if self._done and self._sorts:
            yield from sorted(self._all, key=lambda p: p.created, reverse=not self._oldest_first)

    def _wanted(self, prediction: Prediction) -> bool:
        return self._since <= prediction.created < self._until
