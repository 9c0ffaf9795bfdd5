"""Deletes: what a tombstone hides from each read."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import botocore.session
import pytest
import vectors
import world
from conftest import Clock
from fake import Answer, FakeAWS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table import Item, Table

from predcache import Cache, Front, ItemError, Layout, Prediction, Publisher, _times, aio
from predcache._query import Call
from predcache._reads import Reads
from predcache.layout import Kind
from predcache.prediction import Tombstone

SESSION = botocore.session.get_session()
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
@pytest.mark.parametrize("json_library", ["orjson"], indirect=True)  # the requests are the same
def test_read_vectors_of_a_table(vector: dict[str, Any], at: None) -> None:
    """The same by the public methods, against a DynamoDB stand-in."""
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


def item_of(layout: Layout, t: int, expires: int, per_second: int, payload: str | None) -> Item:
    """An item as the worker writes it: a tombstone where there is no payload."""
    units = Fraction(t * per_second, ATTO)
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


# --- the front


prediction_times = st.integers(1, 12)
reads_and_ages = st.lists(
    st.one_of(
        st.tuples(st.just("prediction"), prediction_times, st.integers(1, 60)),
        st.tuples(st.just("tombstone"), prediction_times, st.integers(1, 60)),
        st.tuples(st.just("miss"), st.just(0), st.just(0)),
        st.tuples(st.just("computed"), prediction_times, st.integers(1, 60)),
        st.tuples(st.just("wait"), st.just(0), st.integers(1, 20)),
    ),
    max_size=30,
)


@given(steps=reads_and_ages, negative_age=st.sampled_from([0.0, 1.0, 15.0]))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_front_returns_nothing_that_a_delete_it_knows_hides(
    steps: list[tuple[str, int, int]], negative_age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [float(NOW)]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    layout = Layout.of("latest-only")
    front = Front(max_age=10, negative_age=negative_age)
    newest: Tombstone | None = None

    def prediction(t: int, life: int) -> Prediction:
        item = item_of(layout, t * ATTO, int(now[0]) + life, 1, str(t))
        return Prediction("predictions", layout, item, False, "a", int(now[0]) + life)

    def check(returned: Prediction | None) -> None:
        if returned is not None and newest is not None and newest.expires > now[0]:
            assert returned.created > newest.created

    for what, t, life in steps:
        if what == "wait":
            now[0] += life
        elif what == "computed":
            front.computed("a", prediction(t, life))
        elif what == "tombstone":
            found = Tombstone("a", t * ATTO, int(now[0]) + life, 0)
            if newest is None or newest.expires <= now[0] or newest.created <= found.created:
                newest = found
            check(front.remember("a", found, now[0]))
        else:
            check(front.remember("a", prediction(t, life) if what == "prediction" else None, now[0]))
        check(front.lookup("a")[1])


# --- the public methods, of both packages


@dataclass
class Sides:
    """The Cache and the Publisher of a package, called alike."""

    get: Callable[[str], Prediction | None]
    get_many: Callable[[list[str]], dict[str, Prediction | None]]
    history: Callable[[str], list[Prediction]]
    get_or_compute: Callable[..., Prediction]
    forget: Callable[[str], None]


@pytest.fixture(params=["threads", "asyncio"])
def sides(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return {"threads": of_threads, "asyncio": of_asyncio}[request.param]


@contextmanager
def of_threads(aws: FakeAWS, front: Front | None, layout: Kind) -> Iterator[Sides]:
    with (
        Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION) as publisher,
        Cache(
            "predictions",
            endpoint_url=aws.url,
            session=SESSION,
            front=front,
            publisher=publisher,
            layout=layout,
        ) as cache,
    ):
        yield Sides(
            cache.get,
            cache.get_many,
            lambda id_: list(cache.history(id_)),
            cache.get_or_compute,
            front.forget if front else lambda _: None,
        )


@contextmanager
def of_asyncio(aws: FakeAWS, front: Front | None, layout: Kind) -> Iterator[Sides]:
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete

    async def make() -> tuple[aio.Publisher, aio.Cache]:
        publisher = aio.Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION)
        options = {"endpoint_url": aws.url, "session": SESSION, "front": front, "layout": layout}
        return publisher, aio.Cache("predictions", publisher=publisher, **options)

    publisher, cache = run(make())

    async def history(id_: str) -> list[Prediction]:
        return [p async for p in cache.history(id_)]

    try:
        yield Sides(
            lambda id_: run(cache.get(id_)),
            lambda ids: run(cache.get_many(ids)),
            lambda id_: run(history(id_)),
            lambda *args, **options: run(cache.get_or_compute(*args, **options)),
            front.forget if front else lambda _: None,
        )
    finally:
        run(cache.close())
        run(publisher.close())
        loop.close()


def serve(aws: FakeAWS, table: Table) -> None:
    reads = ("GetItem", "BatchGetItem", "Query")
    aws.script = lambda operation, body: Answer(table.call(operation, body)) if operation in reads else None


@pytest.mark.parametrize("layout", ["versioned", "expiry-sorted", "latest-only"])
@pytest.mark.parametrize("with_front", [False, True])
def test_a_delete_is_a_miss(aws: FakeAWS, sides: Any, layout: Kind, with_front: bool) -> None:
    now = int(time.time())
    table = Table(Layout.of(layout))
    serve(aws, table)
    put = lambda id_, t, payload: table.put(  # noqa: E731
        item_of(Layout.of(layout), t * ATTO, now + 600 + t % 7, 1, payload) | {"predictionId": {"S": id_}}
    )
    put("a", now - 30, "1")
    put("b", now - 30, "2")
    with sides(aws, Front() if with_front else None, layout) as side:
        assert side.get("a").payload == 1
        put("a", now - 20, None)
        side.forget("a")
        assert side.get("a") is None
        many = side.get_many(["a", "b", "c"])
        assert [p and p.payload for p in many.values()] == [None, 2, None]
        assert side.history("a") == []
        assert [p.payload for p in side.history("b")] == [2]
        put("a", now - 10, "3")
        side.forget("a")
        assert side.get("a").payload == 3
        assert [p.payload for p in side.history("a")] == [3]


def test_a_delete_that_a_read_finds_drops_what_was_computed(aws: FakeAWS, sides: Any, clock: Clock) -> None:
    now = int(time.time())
    layout = Layout.of("latest-only")
    table = Table(layout)
    serve(aws, table)
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    with sides(aws, None, "latest-only") as side:
        assert side.get_or_compute("a", compute).payload == 1
        assert side.get_or_compute("a", compute).payload == 1
        table.put(item_of(layout, (now - 60) * ATTO, now + 600, 1, None))
        assert side.get("a") is None
        assert side.get_or_compute("a", compute).payload == 1, "the delete is older than what was computed"
        table.put(item_of(layout, (now + 60) * ATTO, now + 600, 1, None))
        assert side.get("a") is None
        assert side.get_or_compute("a", compute).payload == 2
        assert side.get_or_compute("a", compute).payload == 3, "of an event time that the delete hides"
        late = now + 90
        assert side.get_or_compute("a", compute, timestamp=late).payload == 4
        assert side.get_or_compute("a", compute).payload == 4


def test_a_delete_in_the_front_drops_what_was_computed(aws: FakeAWS, sides: Any, clock: Clock) -> None:
    now = int(time.time())
    layout = Layout.of("latest-only")
    table = Table(layout)
    serve(aws, table)
    with sides(aws, Front(max_age=10, negative_age=1), "latest-only") as side:
        assert side.get_or_compute("a", lambda: 1).payload == 1
        table.put(item_of(layout, (now + 60) * ATTO, now + 600, 1, None))
        assert side.get("a").payload == 1, "as it is remembered"
        clock.passed += 11
        assert side.get("a") is None
        assert side.get_or_compute("a", lambda: 2).payload == 2
        clock.passed += 2
        del table.items[("a", Decimal(0))]  # as an eventually consistent read may see it
        table.put(item_of(layout, (now - 60) * ATTO, now + 600, 1, "0"))
        assert side.get("a") is None, "older than a delete that was read"
