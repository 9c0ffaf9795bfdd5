"""The Cache: reads that fail in part, the front, and computing once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import botocore.session
import pytest
from fake import Answer, FakeAWS, error

from predcache import (
    Cache,
    CallError,
    ClosedError,
    ConfigurationError,
    Front,
    InvalidPredictionError,
    ItemError,
    Layout,
    PartialError,
    Publisher,
    ServiceError,
)

SESSION = botocore.session.get_session()


@pytest.fixture
def make(aws: FakeAWS) -> Callable[..., Cache]:
    def cache(**options: Any) -> Cache:
        return Cache("predictions", endpoint_url=aws.url, session=SESSION, **options)

    return cache


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


class Clock:
    """Moves time on without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        real, real_monotonic = time.time, time.monotonic
        monkeypatch.setattr(time, "time", lambda: real() + self.passed)
        monkeypatch.setattr(time, "monotonic", lambda: real_monotonic() + self.passed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_layout_is_asked_for_once(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    aws.put("a", {"score": 0.5})
    with make() as cache:
        assert cache.layout == Layout.of("latest-only")
        for _ in range(3):
            prediction = cache.get("a")
            assert prediction is not None
            assert prediction.payload == {"score": 0.5}
    assert aws.count("DescribeTable") == aws.count("DescribeTimeToLive") == 1
    with pytest.raises(ClosedError):
        cache.get("a")


def test_a_table_that_is_not_predcaches(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    table = {
        "AttributeDefinitions": [
            {"AttributeName": "predictionId", "AttributeType": "B"},
            {"AttributeName": "when", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "predictionId", "KeyType": "HASH"},
            {"AttributeName": "when", "KeyType": "RANGE"},
        ],
    }
    aws.script = lambda operation, body: Answer({"Table": table}) if operation == "DescribeTable" else None
    with pytest.raises(ConfigurationError, match="is of type B.*is of type S"):
        make().get("a")
    with pytest.raises(ConfigurationError, match="no layout 'sorted'"):
        make(layout="sorted")


@pytest.mark.parametrize("id_", ["", "x" * 2049, "\ud83d", None, 7, 0.5, [], b"a"])
def test_ids_that_no_item_can_have(aws: FakeAWS, make: Callable[..., Cache], id_: Any) -> None:
    cache = make(layout="latest-only", front=Front())
    with pytest.raises(InvalidPredictionError):
        cache.get(id_)
    with pytest.raises(InvalidPredictionError):
        list(cache.history(id_))
    if id_ != []:
        with pytest.raises(InvalidPredictionError):
            cache.get_many(["a", id_])
    assert not aws.calls


def test_ids_that_are_no_plain_text(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    id_ = UUID(int=7)
    aws.put(str(id_), 1)
    aws.put("é" * 1024, 2)
    aws.put('quote " and \\ and \n', 3)
    with make(layout="latest-only") as cache:
        assert cache.get(id_) is not None
        assert [
            p and p.payload
            for p in cache.get_many([id_, "é" * 1024, 'quote " and \\ and \n', "x"]).values()
        ] == [1, 2, 3, None]


def test_numeric_ids(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    asked = []

    def script(operation: str, body: dict[str, Any]) -> Answer:
        asked.append(body["Key"]["predictionId"]["N"])
        return Answer({})

    aws.script = script
    with make(layout=Layout.of("latest-only", numeric=True)) as cache:
        for id_ in (42, "42", Decimal("42.0"), 4.2e1, "1.50", 10**30, "-0"):
            assert cache.get(id_) is None
        with pytest.raises(InvalidPredictionError):
            cache.get("a")
    assert asked == ["42", "42", "42", "42", "1.5", "1" + "0" * 30, "0"]


def test_expired_predictions_are_misses(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    aws.put("over", 1, expires=int(time.time()))
    aws.put("live", 2, expires=int(time.time()) + 60)
    with make() as cache:
        assert cache.get("over") is None
        found = cache.get_many(["over", "live", "nobody", "live"])
        assert list(found) == ["over", "live", "nobody"]
        assert [p and p.payload for p in found.values()] == [None, 2, None]


@pytest.mark.parametrize("name", ["createdAt", "prediction", "expiresAt"])
def test_an_item_that_cant_be_read_is_an_error_that_names_it(
    aws: FakeAWS, make: Callable[..., Cache], name: str
) -> None:
    aws.put("bad", {"secret": 1})
    aws.put("good", 1)
    del aws.items["bad"][name]
    with make() as cache:
        with pytest.raises(ItemError, match=f"'bad'.*{name}") as caught:
            cache.get("bad")
        assert "secret" not in str(caught.value)
        with pytest.raises(PartialError, match="1 of 2 ids") as partial:
            cache.get_many(["bad", "good"])
    assert list(partial.value.found) == ["good"]
    assert isinstance(partial.value.errors["bad"], ItemError)


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": {"S": "brotli"}},
        {"encoding": {"S": "zstd"}},
        {"encoding": {"S": "zstd"}, "prediction": {"B": "bm8="}},
        {"prediction": {"N": "1"}},
        {"prediction": {"S": "{"}},
        {"prediction": {"S": "NaN"}},
        {"prediction": {"S": "[" * 100_000}},
        {"encoding": {"S": "map"}, "prediction": {"B": "bm8="}},
    ],
)
def test_a_payload_that_cant_be_read(
    aws: FakeAWS, make: Callable[..., Cache], change: dict[str, Any]
) -> None:
    aws.put("a", 1)
    aws.items["a"].update(change)
    with make() as cache:
        prediction = cache.get("a")
        assert prediction is not None
        with pytest.raises(ItemError):
            _ = prediction.payload


def test_digits(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    text = '{"id":1234567890123456789012345678901234567890,"x":0.12345678901234567890,"i":9007199254740993}'
    aws.put("a", 1)
    aws.items["a"]["prediction"] = {"S": text}
    aws.items["a"]["score"] = {"N": "0.12345678901234567890123456789012345678"}
    aws.items["a"]["big"] = {"N": "12345678901234567890123456789012345678"}
    with make() as cache, make(decimals=True) as exact:
        prediction, other = cache.get("a"), exact.get("a")
    assert prediction is not None
    assert other is not None
    assert prediction.payload == {
        "id": 1234567890123456789012345678901234567890,
        "x": 0.12345678901234568,
        "i": 9007199254740993,
    }
    assert type(prediction.payload["id"]) is int
    assert other.payload["x"] == Decimal("0.12345678901234567890")
    assert prediction.text == text
    assert prediction.attributes == {
        "score": 0.12345678901234568,
        "big": 12345678901234567890123456789012345678,
    }
    assert other.attributes["score"] == Decimal("0.12345678901234567890123456789012345678")
    assert "a" in repr(prediction)


def test_unprocessed_keys_are_asked_for_again(
    aws: FakeAWS, make: Callable[..., Cache], quick: list[float]
) -> None:
    for i in range(250):
        aws.put(f"user-{i}", i)

    def script(operation: str, body: dict[str, Any]) -> Answer | None:
        if operation != "BatchGetItem":
            return None
        keys = body["RequestItems"]["predictions"]["Keys"]
        if len(keys) == 1:
            return None
        half = {"predictions": {"Keys": keys[: len(keys) // 2]}}
        items = [aws.items[k["predictionId"]["S"]] for k in keys[len(keys) // 2 :]]
        return Answer({"Responses": {"predictions": items}, "UnprocessedKeys": half})

    aws.script = script
    with make() as cache:
        found = cache.get_many([f"user-{i}" for i in range(250)])
    assert [p and p.payload for p in found.values()] == list(range(250))
    assert len(quick) > 10


def test_what_is_never_processed_ends(aws: FakeAWS, make: Callable[..., Cache], quick: list[float]) -> None:
    aws.script = lambda operation, body: (
        Answer({"Responses": {}, "UnprocessedKeys": body["RequestItems"]})
        if operation == "BatchGetItem"
        else None
    )
    with pytest.raises(PartialError, match="unprocessed") as caught, make() as cache:
        cache.get_many(["a", "b"])
    assert set(caught.value.errors) == {"a", "b"}
    assert aws.count("BatchGetItem") < 12


def test_no_call_is_begun_after_one_that_failed(aws: FakeAWS, make: Callable[..., Cache]) -> None:
    aws.script = lambda operation, body: error("AccessDeniedException")
    with make(layout="versioned", concurrency=4) as cache, pytest.raises(PartialError) as caught:
        cache.get_many([f"user-{i}" for i in range(2000)])
    assert aws.count("Query") < 200
    assert len(caught.value.errors) == 2000
    assert "2000 of 2000" in str(caught.value)
    assert len(str(caught.value)) < 300


# The front.


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


# Computing.


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


def test_the_command_line_shows_a_prediction(
    aws: FakeAWS, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    from predcache.__main__ import main

    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    aws.put("a", {"digits": 1})
    assert main(["get", "a", "--table", "predictions"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["predictionId"] == "a"
    assert shown["prediction"] == {"digits": 1}
    assert main(["get", "nobody", "--table", "predictions"]) == 1
    assert "no live prediction" in capsys.readouterr().err
    monkeypatch.setenv("PREDCACHE_TABLE", "predictions")
    assert main(["get", "a"]) == 0
    file = tmp_path / "predictions.ndjson"
    file.write_text(
        '{"predictionId":"b","prediction":0.10}\n\n{"predictionId":"c"}\n{"predictionId":"d","prediction":2}\n'
    )
    queue = "http://queue.invalid/q"
    assert main(["publish", str(file), "--queue-url", queue]) == 1
    output = capsys.readouterr()
    assert "published 2 of 3" in output.out
    assert "line 3" in output.err
    assert "0.10" in aws.queue[0]
    aws.script = lambda operation, body: error("AccessDeniedException")
    assert main(["get", "a"]) == 2
    assert "policy" in capsys.readouterr().err
    monkeypatch.delenv("PREDCACHE_TABLE")
    assert main(["get", "a"]) == 2
