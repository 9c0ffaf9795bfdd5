"""The Cache: reads that fail in part, the front, and computing once."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import botocore.session
import pytest
from fake import Answer, FakeAWS, error

from predcache import (
    Cache,
    ClosedError,
    ConfigurationError,
    Front,
    InvalidPredictionError,
    ItemError,
    Layout,
    PartialError,
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


def test_arguments_that_cannot_work(make: Callable[..., Cache]) -> None:
    with pytest.raises(TypeError, match="a list of ids"):
        make().get_many("user-42")


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
