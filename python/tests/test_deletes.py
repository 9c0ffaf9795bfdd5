"""Deletes: what a tombstone hides from each read."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import pytest
import vectors
import world
from table import Table

from predcache import Cache, Prediction, _times
from predcache._query import Call
from predcache._reads import Reads
from predcache.prediction import Tombstone

VECTORS = vectors.load_reads()
# The Python reader has no Where and Only.
GO_ONLY = {"where", "only"}
each = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
ATTO = _times.ATTO


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: vectors.READS_NOW + 0.5)


def run(table: Table, steps: Generator[Any, Any, Any]) -> tuple[Any, list[Prediction]]:
    """Drive a read against a table. Return what it returns, and what it yields beside calls."""
    found: list[Prediction] = []
    answer: Any = None
    try:
        while True:
            step = steps.send(answer)
            answer = None
            if isinstance(step, Call):
                answer = table.call(step.operation, json.loads(step.body))
            else:
                found.append(step)
    except StopIteration as end:
        return end.value, found


def live(found: Any) -> Prediction | None:
    assert found is None or isinstance(found, (Prediction, Tombstone))
    return found if isinstance(found, Prediction) else None


def places(found: list[Prediction | None]) -> list[int | None]:
    """The payload of each prediction is its place in the vector's items."""
    return [None if p is None else int(p.text) for p in found]


def time_of(text: str | None) -> int | None:
    return None if text is None else _times.parse_seconds(text)


@each
@pytest.mark.parametrize("page", [1, 2, 1000])
def test_read_vectors(vector: dict[str, Any], page: int, at: None) -> None:
    layout = vectors.rules_of(vector).layout
    table = Table(layout, vector["items"], page)
    ran = 0
    for read in vector["reads"]:
        if GO_ONLY & read.keys():
            continue
        ran += 1
        # Of each read its own, since a reader learns the sort unit from what it reads.
        reads = Reads("predictions", layout, False, False, read.get("uniformLife", False))
        if "get" in read:
            got: Any = places([live(run(table, reads.newest(read["get"]))[0])])[0]
        elif "getMany" in read:
            got = places([live(run(table, reads.newest(id_))[0]) for id_ in read["getMany"]])
        else:
            since, until = time_of(read.get("from")), time_of(read.get("to"))
            steps = reads.history(read["history"], since, until, read.get("oldestFirst", False))
            got = places(list(run(table, steps)[1]))
        assert got == read["finds"], read
    assert ran or any(word in vector["name"] for word in ("where", "only"))


@world.needs(world.DYNAMODB)
@each
def test_read_vectors_of_a_table(vector: dict[str, Any], at: None, json_library: str) -> None:
    """The same by the public methods, against a DynamoDB stand-in."""
    if json_library == "json":
        pytest.skip("the bytes on the wire are the same")
    layout = vectors.rules_of(vector).layout
    table = world.create_table(layout.kind, "N" if layout.numeric else "S")
    for item in vector["items"]:
        world.dynamodb().put_item(TableName=table, Item=item)

    def cache(read: dict[str, Any]) -> Cache:
        return Cache(
            table,
            endpoint_url=world.DYNAMODB,
            session=world.SESSION,
            layout=layout,
            uniform_life=read.get("uniformLife", False),
        )

    for read in vector["reads"]:
        if GO_ONLY & read.keys():
            continue
        with cache(read) as c:
            if "get" in read:
                got: Any = places([c.get(read["get"])])[0]
            elif "getMany" in read:
                found = c.get_many(read["getMany"])
                got = places([found[id_] for id_ in read["getMany"]])
            else:
                bounds = [None if (t := read.get(name)) is None else Decimal(t) for name in ("from", "to")]
                oldest_first = read.get("oldestFirst", False)
                got = places(list(c.history(read["history"], *bounds, oldest_first=oldest_first)))
        assert got == read["finds"], read
