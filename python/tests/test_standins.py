"""Reads against a DynamoDB stand-in, in the three layouts."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
import world

from predcache import Cache, InvalidPredictionError, Prediction

pytestmark = world.needs(world.DYNAMODB)

KINDS = ("versioned", "expiry-sorted", "latest-only")
kinds = pytest.mark.parametrize("kind", KINDS)


def cache_of(table: str, **options: Any) -> Cache:
    return Cache(table, endpoint_url=world.DYNAMODB, session=world.SESSION, **options)


def payloads(predictions: Any) -> list[Any]:
    return [p.payload for p in predictions]


@kinds
def test_the_newest_live_prediction(kind: str) -> None:
    table = world.create_table(kind)
    now = int(time.time())
    world.put(table, kind, "a", '{"n":1}', now - 500.5, now + 9000)
    if kind != "latest-only":
        world.put(table, kind, "a", '{"n":2}', now - 300.25, now + 100)
        for i in range(40):  # newer, but over: more than a page of them
            world.put(table, kind, "a", '"over"', now - 200 + i, now - 50 + i)
    world.put(table, kind, "over", "1", now - 100, now - 1)
    with cache_of(table) as cache:
        newest = cache.get("a")
        assert isinstance(newest, Prediction)
        assert newest.payload == {"n": 1 if kind == "latest-only" else 2}
        assert newest.expires > now
        assert cache.get("over") is None
        assert cache.get("nobody") is None
        assert cache.layout.kind == kind
        found = cache.get_many(["a", "over", "nobody"])
        assert [p and p.payload for p in found.values()] == [newest.payload, None, None]
    with cache_of(table, consistent=True, layout=kind) as cache:
        again = cache.get("a")
        assert again is not None
        assert again.text == newest.text


@kinds
def test_history(kind: str) -> None:
    table = world.create_table(kind)
    now = int(time.time())
    # In the expiry-sorted layout lives differ, so that the order of the sort keys is another one.
    lives = [9000, 5000, 7000, 6000]
    times = [now - 400, now - 300 + 0.5, now - 200 + 0.75, now - 100]
    for i, (created, life) in enumerate(zip(times, lives, strict=True)):
        world.put(table, kind, "a", str(i), created, int(created) + life)
    world.put(table, kind, "a" if kind != "latest-only" else "b", '"over"', now - 50, now - 5)
    want = [3, 2, 1, 0] if kind != "latest-only" else [3]
    with cache_of(table) as cache:
        assert payloads(cache.history("a")) == want
        assert payloads(cache.history("a", oldest_first=True)) == want[::-1]
        since = datetime.datetime.fromtimestamp(times[1], datetime.timezone.utc)
        assert payloads(cache.history("a", since, times[3])) == [n for n in want if n in (1, 2)]
        assert payloads(cache.history("a", times[3])) == [3]
        assert payloads(cache.history("a", since=times[2] + 0.001, until=times[2] + 0.002)) == []
        assert payloads(cache.history("a", times[3], times[1])) == []
        assert payloads(cache.history("nobody", 0, now)) == []
        with pytest.raises(InvalidPredictionError, match="since"):
            list(cache.history("a", "yesterday"))
    fresh = cache_of(table)  # which has seen no item yet, and so knows no sort unit
    assert payloads(fresh.history("a", times[1], times[3])) == [n for n in want if n in (1, 2)]


def test_history_in_milliseconds() -> None:
    table = world.create_table("versioned")
    now = int(time.time())
    for i in range(4):
        world.put(table, "versioned", "a", str(i), now + i / 4, now + 600, per_second=1000)
    cache = cache_of(table)
    assert payloads(cache.history("a", now + 0.25, now + 0.75)) == [2, 1]
    assert payloads(cache.history("a", now + 0.251)) == [3, 2]


def test_history_goes_page_by_page() -> None:
    table = world.create_table("versioned")
    now = int(time.time())
    for i in range(9):
        world.put(table, "versioned", "a", f'"{i}{"x" * 350_000}"', now - i, now + 600)
    cache = cache_of(table)
    assert [p.payload[0] for p in cache.history("a")] == [str(i) for i in range(9)]
    assert [p.payload[0] for p in cache.history("a", now - 5, oldest_first=True)] == list("543210")


def test_uniform_life_reads_one_item() -> None:
    table = world.create_table("expiry-sorted")
    now = int(time.time())
    for i in range(5):
        world.put(table, "expiry-sorted", "a", str(i), now - 10 + i, now + 600 + i)
    with cache_of(table, uniform_life=True) as cache:
        newest = cache.get("a")
        assert newest is not None
        assert newest.payload == 4
        assert payloads(cache.history("a")) == [4, 3, 2, 1, 0]


@kinds
def test_numeric_ids(kind: str) -> None:
    table = world.create_table(kind, "N")
    now = int(time.time())
    world.put(table, kind, 12345678901234567890, "1", now, now + 600)
    with cache_of(table) as cache:
        for id_ in (12345678901234567890, "12345678901234567890", "1.2345678901234567890E19"):
            prediction = cache.get(id_)
            assert prediction is not None
            assert prediction.id == "12345678901234567890"
        assert cache.get_many([12345678901234567890, 7])[7] is None


@kinds
def test_many_ids(kind: str) -> None:
    table = world.create_table(kind)
    now = int(time.time())
    ids = [f"user-{i}" for i in range(130)]
    for i, id_ in enumerate(ids):
        if i % 3:
            world.put(table, kind, id_, str(i), now, now + 600)
    with cache_of(table) as cache:
        found = cache.get_many([*ids, *ids])
        assert [p and p.payload for p in found.values()] == [i if i % 3 else None for i in range(130)]
        assert cache.get_many([]) == {}


def test_a_session_of_boto3() -> None:
    boto3 = pytest.importorskip("boto3")
    table = world.create_table("latest-only")
    session = boto3.Session(region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    assert Cache(table, endpoint_url=world.DYNAMODB, session=session).get("a") is None
