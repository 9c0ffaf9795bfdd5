"""get_or_compute: computed once, published once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from conftest import Clock
from fake import FakeAWS, error

from predcache import Cache, CallError, ConfigurationError, Front, InvalidPredictionError, Publisher

SESSION = botocore.session.get_session()


@pytest.fixture
def make(aws: FakeAWS) -> Callable[..., Cache]:
    def cache(**options: Any) -> Cache:
        return Cache("predictions", endpoint_url=aws.url, session=SESSION, **options)

    return cache


@pytest.fixture(params=[None, Front])
def computing(
    request: pytest.FixtureRequest, aws: FakeAWS, make: Callable[..., Cache]
) -> Iterator[tuple[Cache, Publisher]]:
    publisher = Publisher("http://queue.invalid/q", endpoint_url=aws.url, session=SESSION)
    cache = make(publisher=publisher, layout="latest-only", front=request.param and request.param())
    yield cache, publisher
    publisher.close()


def test_a_miss_is_computed_once_and_published_once(
    aws: FakeAWS, computing: tuple[Cache, Publisher]
) -> None:
    cache, publisher = computing
    computed = []

    def compute() -> dict[str, Any]:
        computed.append(1)
        return {"score": 0.5, "exact": Decimal("0.10")}

    with ThreadPoolExecutor(50) as threads:
        results = list(
            threads.map(lambda _: cache.get_or_compute("a", compute, ttl=600, model="m", n=7), range(1000))
        )
    assert len(computed) == 1
    assert aws.count("GetItem") == 1
    publisher.flush()
    (published,) = aws.predictions()
    assert published["prediction"] == {"score": 0.5, "exact": 0.1}
    first = results[0]
    assert all(r is first for r in results)
    assert first.text == '{"score":0.5,"exact":0.10}'
    assert first.attributes == {"model": "m", "n": 7}
    assert first.payload["score"] == 0.5
    assert abs(first.event_time.timestamp() - time.time()) < 60
    assert first.expires_at is not None
    assert published["timestamp"] == first.created // 10**12


def test_what_the_table_has_is_not_computed(aws: FakeAWS, computing: tuple[Cache, Publisher]) -> None:
    aws.put("a", 1)
    assert computing[0].get_or_compute("a", pytest.fail).payload == 1


def test_an_error_of_the_computation_goes_to_every_caller(
    aws: FakeAWS, computing: tuple[Cache, Publisher]
) -> None:
    cache, publisher = computing

    def compute() -> None:
        raise LookupError("no model")

    for _ in range(2):
        with pytest.raises(LookupError, match="no model"):
            cache.get_or_compute("a", compute)
    assert cache.get_or_compute("a", lambda: None).payload is None
    assert cache.get_or_compute("a", pytest.fail).expires_at is None
    publisher.flush()
    assert len(aws.predictions()) == 1


def test_a_computation_that_asks_for_itself(computing: tuple[Cache, Publisher]) -> None:
    cache, _ = computing
    with pytest.raises(RuntimeError, match="asks for 'a' itself"):
        cache.get_or_compute("a", lambda: cache.get_or_compute("a", lambda: 1).payload)


def test_nothing_is_computed_where_the_table_cant_be_asked(
    aws: FakeAWS, computing: tuple[Cache, Publisher]
) -> None:
    aws.script = lambda operation, body: error("AccessDeniedException")
    with pytest.raises(CallError):
        computing[0].get_or_compute("a", pytest.fail)


def test_what_the_worker_would_reject_is_not_published(
    aws: FakeAWS, computing: tuple[Cache, Publisher]
) -> None:
    cache, publisher = computing
    with pytest.raises(InvalidPredictionError):
        cache.get_or_compute("a", lambda: float("nan"))
    publisher.flush()
    assert not aws.queue
    assert cache.get_or_compute("a", lambda: 1).payload == 1


def test_a_result_is_computed_again_after_half_a_minute(
    aws: FakeAWS, computing: tuple[Cache, Publisher], clock: Clock
) -> None:
    cache, _ = computing
    results = iter([1, 2])
    assert cache.get_or_compute("a", lambda: next(results)).payload == 1
    clock.passed += 29
    assert cache.get_or_compute("a", lambda: next(results)).payload == 1
    clock.passed += 2
    assert cache.get_or_compute("a", lambda: next(results)).payload == 2


def test_computing_needs_a_publisher(make: Callable[..., Cache]) -> None:
    with pytest.raises(ConfigurationError, match="publisher"):
        make().get_or_compute("a", lambda: 1)


def test_an_interrupted_computation_is_not_its_waiters_interrupt(
    computing: tuple[Cache, Publisher],
) -> None:
    cache, _ = computing
    waiting, go = threading.Event(), threading.Event()

    def compute() -> None:
        waiting.set()
        assert go.wait(30)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get_or_compute, "a", compute)
        assert waiting.wait(30)
        second = threads.submit(cache.get_or_compute, "a", compute)
        while not cache._computing._under_way["a"][1]._condition._waiters:  # until it waits for the first
            os.sched_yield()
        go.set()
        with pytest.raises(KeyboardInterrupt):
            first.result()
        with pytest.raises(RuntimeError, match="interrupted"):
            second.result()
