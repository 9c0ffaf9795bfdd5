"""Deletes: what the front knows, what callers get, and what is published."""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import botocore.session
import numpy as np
import pandas as pd
import pytest
import vectors
from conftest import Clock
from fake import Answer, FakeAWS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table import Table, item_of

from predcache import (
    Cache,
    ClosedError,
    Front,
    InvalidPredictionError,
    Layout,
    Prediction,
    Publisher,
    _times,
    aio,
)
from predcache.layout import Kind
from predcache.prediction import Tombstone

SESSION = botocore.session.get_session()
ATTO = _times.ATTO
NOW = vectors.READS_NOW


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


# --- publishing


def publish_some(publisher: Any, run: Callable[[Any], Any]) -> None:
    at = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
    run(publisher.publish("a", 1, timestamp=at))
    run(publisher.delete("a", timestamp=at))
    run(publisher.delete(uuid.UUID(int=7), ttl=datetime.timedelta(days=30)))
    run(
        publisher.delete("b", timestamp="2026-01-31T12:00:00Z", expires_at=at + datetime.timedelta(days=60))
    )
    rows = [
        {"id": "c", "payload": 2, "timestamp": 1769860800},
        {"id": "c", "deleted": True, "timestamp": 1769860800, "payload": "secret", "email": "secret"},
        {"id": "d", "deleted": np.bool_(False), "payload": 3, "timestamp": 1769860800},
    ]
    assert run(publisher.publish_many(rows)) == 3
    run(publisher.publish_json('{"predictionId":"e",\n"deleted":true}'))
    frame = pd.DataFrame({"who": ["f", "g"], "score": [0.5, None], "deleted": [False, True]})
    run(publisher.publish_frame(frame, id="who", payload="score", attributes=["deleted"]))


def test_deletes_are_packed_with_predictions_in_order(aws: FakeAWS) -> None:
    with Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION, linger=60) as publisher:
        publish_some(publisher, lambda result: result)
    check_published(aws)


def test_deletes_in_asyncio(aws: FakeAWS) -> None:
    loop = asyncio.new_event_loop()

    async def make() -> aio.Publisher:
        return aio.Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION, linger=60)

    publisher = loop.run_until_complete(make())
    publish_some(publisher, loop.run_until_complete)
    loop.run_until_complete(publisher.close())
    loop.close()
    check_published(aws)


def check_published(aws: FakeAWS) -> None:
    assert len(aws.queue) == 1
    sent = aws.predictions()
    ids = ["a", "a", str(uuid.UUID(int=7)), "b", "c", "c", "d", "e", "f", "g"]
    assert [p["predictionId"] for p in sent] == ids
    deletes = [1, 2, 3, 5, 7, 9]
    assert [i for i, p in enumerate(sent) if p.get("deleted")] == deletes
    assert all(p["deleted"] is True for p in sent if "deleted" in p)
    assert sent[0]["timestamp"] == sent[1]["timestamp"] == 1769860800000000
    assert abs(sent[2]["timestamp"] / 1e6 - time.time()) < 60
    assert sent[2]["ttlSeconds"] == 2592000
    assert sent[3]["expiresAt"] == 1769860800 + 60 * 86400
    assert sent[5] == {"predictionId": "c", "timestamp": 1769860800, "deleted": True}
    assert sent[9].keys() == {"predictionId", "timestamp", "deleted"}
    assert "secret" not in aws.queue[0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"id": None}, "missing_field"),
        ({"id": ""}, "key"),
        ({"id": 7}, "key"),
        ({"id": "x" * 2049}, "key"),
        ({"id": "a", "timestamp": 9e9}, "future"),
        ({"id": "a", "timestamp": 7}, "past"),
        ({"id": "a", "timestamp": datetime.datetime(2026, 1, 31)}, "field_type"),
        ({"id": "a", "ttl": 0}, "field_value"),
        ({"id": "a", "ttl": 10**12}, "field_value"),
        ({"id": "a", "ttl": 60, "expires_at": 2e9}, "field_value"),
        ({"id": "a", "expires_at": 7}, "past"),
    ],
)
def test_a_delete_that_the_worker_would_reject(
    aws: FakeAWS, arguments: dict[str, Any], reason: str
) -> None:
    with Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION) as publisher:
        with pytest.raises(InvalidPredictionError) as caught:
            publisher.delete(**arguments)
        assert caught.value.reason == reason
        assert caught.value.id == arguments["id"]
    assert not aws.calls
    with pytest.raises(ClosedError):
        publisher.delete("a")
