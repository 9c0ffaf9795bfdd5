"""The calls that read a table, and the pages of a Query."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from predcache import _contract as contract
from predcache._json import quoted
from predcache.prediction import Prediction, Tombstone

if TYPE_CHECKING:
    from predcache._reads import Reads

MAX_UNIT = 10**17  # past every sort key


@dataclass
class Call:
    """A call to be made; its answer is sent back."""

    operation: str
    body: bytes


@dataclass
class Pause:
    """A wait, in seconds."""

    seconds: float


class Query:
    """The pages of a Query of one id, newest sort key first.

    What has expired is left out by the service already, where that is cheap to say.
    """

    def __init__(self, reads: Reads, key: str) -> None:
        self._reads = reads
        self._key = key
        self.oldest_first = False
        self.filtered = True
        self.only_tombstones = False
        self._between: tuple[int, int | str] | None = None
        self._started = False
        self._after: dict[str, dict[str, str]] = {}  # where the last page ended

    def between(self, low: int, high: int | str) -> None:
        """Read only sort keys from ``low`` to ``high``."""
        self._between = low, high

    def end_at(self, unit: int) -> None:
        """Read nothing below a sort unit, in pages of descending order."""
        low, high = self._between or (0, MAX_UNIT)
        self._between = max(low, unit), high

    @property
    def more(self) -> bool:
        """Whether there may be another page."""
        if not self._after:
            return not self._started
        if self._between is None or self.oldest_first:
            return True
        # DynamoDB refuses to start a page outside of the range ("Query").
        last = unit_of(self._after, self._reads.layout.sort_key)
        return last >= self._between[0]

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
        if self._between is not None:
            names["#s"] = layout.sort_key or ""
            condition += " AND #s BETWEEN :lo AND :hi"
            low, high = self._between
            values += f',":lo":{{"N":"{low}"}},":hi":{{"N":"{high}"}}'
        if self.only_tombstones:
            names |= {"#d": contract.DELETED, "#c": contract.CREATED_AT}
            values += ',":true":{"BOOL":true}'
            filter_ = (
                ',"FilterExpression":"NOT #t <= :now AND #d = :true"'
                ',"ProjectionExpression":"#h,#s,#t,#c,#d"'
            )
        aliases = ",".join(f'"{alias}":{quoted(name)}' for alias, name in names.items())
        return (
            f'{{"TableName":{quoted(self._reads.table)},"ScanIndexForward":'
            f'{"true" if self.oldest_first else "false"},"KeyConditionExpression":"{condition}"{filter_},'
            f'"ExpressionAttributeNames":{{{aliases}}},"ExpressionAttributeValues":{{{values}}}'
            f'{self._reads.consistent}{self._start()}{f""","Limit":{limit}""" if limit else ""}}}'
        ).encode()

    def _start(self) -> str:
        if not self._after:
            return ""
        pairs = (
            f"{quoted(name)}:{{{quoted(kind)}:{quoted(str(text))}}}"
            for name, value in self._after.items()
            for kind, text in value.items()
        )
        return f',"ExclusiveStartKey":{{{",".join(pairs)}}}'

    def read(self, answer: dict[str, Any]) -> Iterable[Prediction | Tombstone]:
        """Yield an answer's live predictions and tombstones. Ask ``more`` after the last one."""
        self._started = True
        self._after = answer.get("LastEvaluatedKey") or {}
        now = int(time.time())
        for item in answer.get("Items", ()):
            found = self._reads.live(item, now)
            if found is not None:
                yield found


def unit_of(item: dict[str, Any], sort_key: str | None) -> int:
    """Return an item's sort key without its fraction, which only a tombstone has."""
    return 0 if sort_key is None else int(Decimal(item[sort_key]["N"]))
