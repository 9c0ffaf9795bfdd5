"""A table in memory that answers GetItem, BatchGetItem and Query by DynamoDB's rules, expressions included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from predcache import Layout, _times

Item = dict[str, dict[str, Any]]

_TOKEN = re.compile(r"[#:]?\w+|<=|>=|<>|[<>=(),]")


class Table:
    """Items by their keys.

    Args:
        layout: The table's layout.
        page: How many items a page of a Query holds at most: 1 MB of DynamoDB's.
    """

    def __init__(self, layout: Layout, items: Iterable[Item] = (), page: int = 1000) -> None:
        self.layout = layout
        self.page = page
        self.queries = 0
        self.read = 0  # items that Query has looked at, which is what it bills
        self.items: dict[tuple[str, Decimal], Item] = {}
        for item in items:
            assert not self.has(item), "two items have one key"
            self.put(item)

    def has(self, item: Item) -> bool:
        return self._key(item) in self.items

    def put(self, item: Item) -> None:
        self.items[self._key(item)] = item

    def _key(self, item: Item) -> tuple[str, Decimal]:
        ((_, id_),) = item[self.layout.hash_key].items()
        sort_key = self.layout.sort_key
        return id_, Decimal(item[sort_key]["N"]) if sort_key else Decimal(0)

    def call(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, f"_{operation}")(body)
        return answer

    def _GetItem(self, body: dict[str, Any]) -> dict[str, Any]:
        item = self.items.get(self._key(body["Key"]))
        return {"Item": item} if item else {}

    def _BatchGetItem(self, body: dict[str, Any]) -> dict[str, Any]:
        ((table, asked),) = body["RequestItems"].items()
        found = [self.items.get(self._key(key)) for key in asked["Keys"]]
        return {"Responses": {table: [item for item in found if item is not None]}}

    def _Query(self, body: dict[str, Any]) -> dict[str, Any]:
        self.queries += 1
        names, values = body["ExpressionAttributeNames"], body["ExpressionAttributeValues"]
        used = " ".join(v for k, v in body.items() if k.endswith("Expression"))
        assert set(re.findall(r"#\w+", used)) == set(names), "ValidationException: unused or undefined name"
        assert set(re.findall(r":\w+", used)) == set(values), (
            "ValidationException: unused or undefined value"
        )
        holds = Expression(body["KeyConditionExpression"], names, values)
        forward = body.get("ScanIndexForward", True)
        keys = sorted(self.items, key=lambda key: key[1], reverse=not forward)
        keys = [key for key in keys if holds(self.items[key])]
        if start := body.get("ExclusiveStartKey"):
            after = self._key(start)
            assert holds(start), "ValidationException: the starting key is outside query boundaries"
            keys = [key for key in keys if (key[1] > after[1] if forward else key[1] < after[1])]
        limit = min(body.get("Limit", self.page), self.page)
        looked_at = [self.items[key] for key in keys[:limit]]
        self.read += len(looked_at)
        kept = looked_at
        if condition := body.get("FilterExpression"):
            kept = [item for item in looked_at if Expression(condition, names, values)(item)]
        if projection := body.get("ProjectionExpression"):
            wanted = [names[name] for name in projection.split(",")]
            kept = [{name: item[name] for name in wanted if name in item} for item in kept]
        answer: dict[str, Any] = {"Items": kept, "Count": len(kept)}
        if len(looked_at) == limit and keys[:limit]:  # DynamoDB does not look whether there is more
            last = looked_at[-1]
            own = (self.layout.hash_key, self.layout.sort_key)
            answer["LastEvaluatedKey"] = {name: last[name] for name in own if name}
        return answer


def item_of(layout: Layout, t: int, expires: int, per_second: int, payload: str | None) -> Item:
    """An item as the worker writes it: a tombstone where there is no payload."""
    units = Fraction(t * per_second, _times.ATTO)
    whole = int(units)
    item: Item = {"predictionId": {"S": "a"}, "createdAt": {"N": _times.seconds_text(t)}}
    sort_key = str(whole)
    if payload is None:
        item["deleted"] = {"BOOL": True}
        half = (1 + units - whole) / 2
        if layout.kind == "versioned":
            sort_key = f"{whole}.{int(half * 10**19):019}"
    else:
        item["prediction"] = {"S": payload}
    if layout.kind == "expiry-sorted":
        item["timestamp"] = {"N": str(expires)}
    else:
        item["timestamp"] = {"N": sort_key}
        item["expiresAt"] = {"N": str(expires)}
    return item


class Expression:
    """A condition of KeyConditionExpression and FilterExpression, as far as readers use them."""

    def __init__(self, text: str, names: dict[str, str], values: dict[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)
        assert "".join(self._tokens) == text.replace(" ", "")
        self._names = names
        self._values = values

    def __call__(self, item: Item) -> bool:
        self._left = list(self._tokens)
        self._item = item
        result = self._or()
        assert not self._left
        return result

    def _next(self, *wanted: str) -> bool:
        if self._left and self._left[0].upper() in wanted:
            self._left.pop(0)
            return True
        return False

    def _or(self) -> bool:
        result = self._and()
        while self._next("OR"):
            result = self._and() or result
        return result

    def _and(self) -> bool:
        result = self._not()
        while self._next("AND"):
            result = self._not() and result
        return result

    def _not(self) -> bool:
        if self._next("NOT"):
            return not self._not()
        if self._next("("):
            result = self._or()
            assert self._next(")")
            return result
        return self._comparison()

    def _operand(self) -> Any:
        token = self._left.pop(0)
        typed = self._values[token] if token.startswith(":") else self._item.get(self._names[token])
        if typed is None:
            return None
        ((kind, content),) = typed.items()
        return kind, Decimal(content) if kind == "N" else content

    def _comparison(self) -> bool:
        left = self._operand()
        if self._next("BETWEEN"):
            low = self._operand()
            assert self._next("AND")
            high = self._operand()
            assert low[1] <= high[1], "ValidationException: the upper bound is below the lower"
            return self._compare(left, low, ">=") and self._compare(left, high, "<=")
        operator = self._left.pop(0)
        return self._compare(left, self._operand(), operator)

    def _compare(self, left: Any, right: Any, operator: str) -> bool:
        if left is None or right is None or left[0] != right[0]:
            return False  # also of another type
        compare: dict[str, Callable[[Any, Any], bool]] = {
            "=": lambda a, b: a == b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
        }
        return compare[operator](left[1], right[1])
