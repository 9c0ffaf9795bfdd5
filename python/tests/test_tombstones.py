"""What a tombstone hides from each read: the vectors of the contract, and a model."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
import vectors
import world
from fake import Answer, FakeAWS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table import Item, Table, item_of

from predcache import Cache, Front, ItemError, Layout, Prediction, _times, aio
from predcache._query import Call
from predcache._reads import Reads
from predcache.layout import Kind
from predcache.prediction import Tombstone

VECTORS = vectors.load_reads()
# The Python reader has no Where and Only.
GO_ONLY = {"where", "only"}
each = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
ATTO = _times.ATTO
SESSION = botocore.session.get_session()


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


def bounds_of(read: dict[str, Any]) -> list[Decimal | None]:
    return [None if (t := read.get(name)) is None else Decimal(t) for name in ("from", "to")]


@world.needs(world.DYNAMODB)
@each
@pytest.mark.parametrize("json_library", ["orjson"], indirect=True)  # the requests are the same
def test_read_vectors_of_a_table(vector: dict[str, Any], at: None) -> None:
    """The same by the public methods, against a DynamoDB stand-in."""
    layout = vectors.rules_of(vector).layout
    table = world.create_table(layout.kind, "N" if layout.numeric else "S")
    for item in vector["items"]:
        world.dynamodb().put_item(TableName=table, Item=item)
    for read, front in itertools.product(vector["reads"], (None, Front)):
        if GO_ONLY & read.keys():
            continue
        with Cache(
            table,
            endpoint_url=world.DYNAMODB,
            session=world.SESSION,
            front=front and front(),
            layout=layout,
            uniform_life=read.get("uniformLife", False),
        ) as cache:
            if "get" in read:
                got: Any = places([cache.get(read["get"])])[0]
                assert places([cache.get(read["get"])]) == [got]
            elif "getMany" in read:
                found = cache.get_many(read["getMany"])
                got = places([found[id_] for id_ in read["getMany"]])
            else:
                oldest_first = read.get("oldestFirst", False)
                got = places(
                    list(cache.history(read["history"], *bounds_of(read), oldest_first=oldest_first))
                )
        assert got == read["finds"], read


@each
@pytest.mark.parametrize("json_library", ["orjson"], indirect=True)
def test_read_vectors_in_asyncio(vector: dict[str, Any], aws: FakeAWS, at: None) -> None:
    layout = vectors.rules_of(vector).layout
    table = Table(layout, vector["items"], page=3)
    aws.script = lambda operation, body: Answer(table.call(operation, body))

    async def read_all() -> None:
        for read in vector["reads"]:
            if GO_ONLY & read.keys():
                continue
            async with aio.Cache(
                "predictions",
                endpoint_url=aws.url,
                session=SESSION,
                front=Front(),
                layout=layout,
                uniform_life=read.get("uniformLife", False),
            ) as cache:
                if "get" in read:
                    got: Any = places([await cache.get(read["get"])])[0]
                elif "getMany" in read:
                    found = await cache.get_many(read["getMany"])
                    got = places([found[id_] for id_ in read["getMany"]])
                else:
                    oldest_first = read.get("oldestFirst", False)
                    history = cache.history(read["history"], *bounds_of(read), oldest_first=oldest_first)
                    got = places([p async for p in history])
            assert got == read["finds"], read

    asyncio.run(read_all())


# --- a property: what each read returns is what a few lines say


@dataclass(frozen=True)
class Case:
    """A table, and what its readers are told."""

    table: Table
    predictions: list[tuple[int, int]]  # event time in attoseconds, and place
    deleted: int  # the newest live tombstone's event time; -1 where there is none
    uniform_life: bool

    def visible(self, since: int, until: int) -> list[int]:
        """The event times of what a reader may see, newest first."""
        times = [t for t, _ in self.predictions if t > self.deleted and since <= t < until]
        return sorted(times, reverse=True)


NOW = vectors.READS_NOW
LIFE = 100
# Event times a quarter of a sort unit apart, so that several share a unit, and some by an attosecond.
offsets = st.tuples(st.integers(-48, 8), st.sampled_from([0, 0, 0, 1, -1]))


@st.composite
def cases(draw: st.DrawFn, kind: Kind) -> Case:
    per_second = draw(st.sampled_from([1, 1000])) if kind != "expiry-sorted" else 1
    uniform_life = kind == "expiry-sorted" and draw(st.booleans())
    layout = Layout.of(kind)
    table = Table(layout, page=draw(st.sampled_from([1, 2, 3, 1000])))
    predictions, deleted = [], -1
    for place, (quarter, atto) in enumerate(draw(st.lists(offsets, max_size=14))):
        t = NOW * ATTO + quarter * ATTO // (4 * per_second) + atto
        tombstone = draw(st.booleans())
        # Under uniform_life a tombstone lives at least as long as a prediction.
        life = (
            LIFE
            if uniform_life and not tombstone
            else draw(st.integers(LIFE if uniform_life else -8, 2 * LIFE))
        )
        expires = t // ATTO + life
        item = item_of(layout, t, expires, per_second, None if tombstone else str(place))
        if table.has(item):
            continue
        table.put(item)
        if expires > NOW and tombstone:
            deleted = max(deleted, t)
        elif expires > NOW:
            predictions.append((t, place))
    return Case(table, predictions, deleted, uniform_life)


@pytest.mark.parametrize("kind", ["versioned", "expiry-sorted", "latest-only"])
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_reads_are_what_the_model_says(kind: Kind, data: st.DataObject, at: None) -> None:
    case = data.draw(cases(kind))

    def reads() -> Reads:
        return Reads("predictions", case.table.layout, False, False, case.uniform_life)

    everything = case.visible(0, 10**36)
    got, _ = run(case.table, reads().newest("a"))
    assert [p.created for p in [live(got)] if p] == everything[:1]
    if got is None:
        assert case.deleted < 0, "the front has to hear of the tombstone"
    bound = offsets.map(lambda o: NOW * ATTO + o[0] * ATTO // 4 + o[1]) | st.none()
    since, until = data.draw(bound), data.draw(bound)
    want = case.visible(since or 0, until if until is not None else 10**36)
    for oldest_first in (False, True):
        _, found = run(case.table, reads().history("a", since, until, oldest_first))
        assert [p.created for p in found] == (want[::-1] if oldest_first else want)


def test_a_tombstone_ends_the_range(at: None) -> None:
    """What is older than a delete is not read to be left out."""
    layout = Layout.of("versioned")
    items = [item_of(layout, (NOW - i) * ATTO, NOW + 10, 1, "old") for i in range(50, 1050)]
    items += [item_of(layout, (NOW - 40) * ATTO, NOW + 10, 1, None)]
    items += [item_of(layout, (NOW - i) * ATTO, NOW + 10, 1, "new") for i in range(20)]
    table = Table(layout, items, page=10)
    reads = Reads("predictions", layout, False, False, False)
    _, found = run(table, reads.history("a", None, None, False))
    assert [p.text for p in found] == ["new"] * 20
    assert table.read <= 40


def test_a_bounded_history_looks_for_deletes_beyond_its_end_only(at: None) -> None:
    layout = Layout.of("versioned")
    table = Table(
        layout, [item_of(layout, (NOW - i) * ATTO, NOW + 10, 1, "1") for i in range(100)], page=10
    )
    reads = Reads("predictions", layout, False, False, False)
    _, found = run(table, reads.history("a", (NOW - 60) * ATTO, (NOW - 19) * ATTO, False))
    assert len(found) == 41
    # The item that tells the unit, 20 from the end of the range on, and 42 in it, in whole pages.
    assert table.read <= 1 + 20 + 42 + 2


def test_ids_without_deletes_cost_what_they_did(at: None) -> None:
    """One call that looks at one item, and a page of history for each page of items."""
    layout = Layout.of("versioned")
    table = Table(layout, [item_of(layout, (NOW - i) * ATTO, NOW + 10, 1, "1") for i in range(30)], page=10)
    reads = Reads("predictions", layout, False, False, False)
    assert run(table, reads.newest("a"))[0] is not None
    assert (table.queries, table.read) == (1, 1)
    assert len(run(table, reads.history("a", None, None, False))[1]) == 30
    assert table.queries <= 1 + 4


@pytest.mark.parametrize(
    "change",
    [{"createdAt": None}, {"createdAt": {"S": "x"}}, {"expiresAt": None}, {"timestamp": {"S": "x"}}],
)
def test_a_tombstone_that_cant_be_read_is_an_error(change: Item, at: None) -> None:
    layout = Layout.of("versioned")
    item = item_of(layout, (NOW - 5) * ATTO, NOW + 10, 1, None) | change
    reads = Reads("predictions", layout, False, False, False)
    with pytest.raises(ItemError, match=next(iter(change))):
        reads.live({name: value for name, value in item.items() if value}, NOW)
