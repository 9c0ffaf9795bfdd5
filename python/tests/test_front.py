"""The front: a bounded memory of what was read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import pytest
from conftest import Clock
from fake import FakeAWS, error

from predcache import Cache, Front, ServiceError

SESSION = botocore.session.get_session()


@pytest.fixture
def make(aws: FakeAWS) -> Callable[..., Cache]:
    def cache(**options: Any) -> Cache:
        return Cache("predictions", endpoint_url=aws.url, session=SESSION, **options)

    return cache


def test_a_front_answers_from_memory(aws: FakeAWS, make: Callable[..., Cache], clock: Clock) -> None:
    aws.put("a", 1)
    front = Front(max_age=60, negative_age=5)
    with make(front=front, layout="latest-only") as cache:
        for _ in range(3):
            assert cache.get("a") is cache.get("a")
            assert cache.get("nobody") is None
        assert aws.count("GetItem") == 2
        assert cache.get_many(["a", "nobody"])["a"] is cache.get("a")
        stats = front.stats()
        assert (stats.hits, stats.negative_hits, stats.misses, stats.entries) == (7, 3, 2, 2)
        clock.passed += 6  # past the negative age
        cache.get("a")
        cache.get("nobody")
        assert aws.count("GetItem") == 3
        clock.passed += 55  # past the age
        cache.get("a")
        assert aws.count("GetItem") == 4
        front.forget("a")
        cache.get("a")
        assert aws.count("GetItem") == 5


def test_a_front_never_returns_what_has_expired(
    aws: FakeAWS, make: Callable[..., Cache], clock: Clock
) -> None:
    aws.put("a", 1, expires=int(time.time()) + 30)
    with make(front=Front(max_age=3600)) as cache:
        assert cache.get("a") is not None
        clock.passed += 31
        assert cache.get("a") is None


def test_a_front_keeps_what_is_newer(aws: FakeAWS, make: Callable[..., Cache], clock: Clock) -> None:
    """An eventually consistent read may find an older version than the one before."""
    aws.put("a", "new", created=2e9)
    with make(front=Front(max_age=60)) as cache:
        assert cache.get("a") is not None
        aws.put("a", "old", created=1e9)
        clock.passed += 1
        front = cache._front
        assert front is not None
        again = front.remember("a", cache._run(cache._reads.newest("a")), time.monotonic())
        assert again is not None
        assert again.payload == "new"


def test_a_front_is_bounded_in_bytes(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    for i in range(100):
        aws.put(f"user-{i}", "x" * 1000)
    aws.put("huge", "x" * 200_000)
    front = Front(max_bytes=100_000)
    with make(front=front) as cache:
        cache.get_many([f"user-{i}" for i in range(100)])
        assert cache.get("huge") is not None
    stats = front.stats()
    assert 20 < stats.entries < 60
    assert 50_000 < stats.bytes <= 100_000


def test_errors_are_not_remembered(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    aws.put("a", 1)
    answers = iter([error("AccessDeniedException"), None])
    aws.script = lambda operation, body: next(answers)
    with make(front=Front(), layout="latest-only") as cache:
        with pytest.raises(ServiceError):
            cache.get("a")
        assert cache.get("a") is not None


def test_one_call_of_an_id_is_under_way(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    aws.put("a", 1)
    ready = threading.Barrier(21)
    go = threading.Event()

    def script(operation: str, body: dict[str, Any]) -> None:
        assert go.wait(30)

    aws.script = script
    with make(front=Front(), layout="latest-only") as cache, ThreadPoolExecutor(20) as threads:

        def get() -> Any:
            ready.wait(30)
            return cache.get("a")

        results = [threads.submit(get) for _ in range(20)]
        ready.wait(30)
        while cache._front is not None and cache._front.stats().misses < 20:
            pass
        go.set()
        assert len({id(r.result()) for r in results}) == 1
    assert aws.count("GetItem") == 1


@pytest.mark.parametrize("bad", [{"max_bytes": 0}, {"max_age": 0}, {"negative_age": -1}])
def test_a_front_that_cant_be(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Front"):
        Front(**bad)
