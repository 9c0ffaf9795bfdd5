"""Arguments that cannot work: one error that names each of them, from both packages."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from fake import Answer, FakeAWS, error

import predcache
from predcache import (
    ConfigurationError,
    Front,
    InvalidPredictionError,
    ItemError,
    Layout,
    PartialError,
    Rules,
    aio,
)
from predcache._message import Encoder

SESSION = botocore.session.get_session()
QUEUE = "http://queue.invalid/q"
both = pytest.mark.parametrize("package", [predcache, aio], ids=["threads", "asyncio"])


@both
@pytest.mark.parametrize(
    ("argument", "value", "text"),
    [
        ("buffer", -1, "buffer is -1: give a whole number of at least 1"),
        ("buffer", "16MB", "buffer is '16MB': give a whole number"),
        ("buffer", True, "buffer is True"),
        ("linger", -0.1, "linger is -0.1: give a number of at least 0"),
        ("linger", math.nan, "linger is nan"),
        ("calls", 0, "calls is 0: give a whole number of at least 1"),
        ("calls", 2.5, "calls is 2.5"),
        ("attempts", 0, "attempts is 0"),
        ("timeout", 0, "timeout is 0: give a number above 0"),
        ("timeout", None, "timeout is None"),
        ("on_failure", "log", "on_failure is 'log': give a function"),
        ("rules", "versioned", "rules is 'versioned': give Rules"),
        ("nan", "zero", "nan is 'zero'"),
    ],
)
def test_a_publisher(package: Any, argument: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        package.Publisher(QUEUE, session=SESSION, **{argument: value})


@both
def test_all_of_them_at_once(package: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Publisher: linger is .*; buffer is .*; rules is "):
        package.Publisher(QUEUE, session=SESSION, linger=-1, buffer=0, rules=7)
    with pytest.raises(ConfigurationError, match="the queue's URL is None"):
        package.Publisher(None, session=SESSION)


@both
@pytest.mark.parametrize(
    ("argument", "value", "text"),
    [
        ("front", True, "front is True: give a Front"),
        ("layout", 7, "layout is 7: give the name of a layout, a Layout, or None"),
        ("layout", "sorted", "there is no layout 'sorted'"),
        ("publisher", QUEUE, "publisher is 'http://queue.invalid/q': give a predcache"),
        ("concurrency", 0, "concurrency is 0: give a whole number of at least 1"),
        ("concurrency", None, "concurrency is None"),
    ],
)
def test_a_cache(package: Any, argument: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        package.Cache("predictions", session=SESSION, **{argument: value})


@both
@pytest.mark.parametrize("table", ["", None, 7])
def test_a_cache_without_a_table(package: Any, table: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"table is {table!r}: give the table's name or ARN"):
        package.Cache(table, session=SESSION)


def test_a_publisher_of_the_other_package() -> None:
    publisher = aio.Publisher(QUEUE, session=SESSION)
    with pytest.raises(ConfigurationError, match=r"give a predcache\.Publisher"):
        predcache.Cache("predictions", session=SESSION, publisher=publisher)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"layout": "latest-only"}, 'give a Layout, such as Layout.of("latest-only")'),
        ({"payload_encoding": "gzip"}, "payload_encoding is 'gzip': give json, map or zstd"),
        ({"indexes": {"model": "B"}}, "indexes['model'] is 'B': give S or N"),
        ({"max_future": -1}, "max_future is -1"),
    ],
)
def test_rules(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        Rules(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"max_bytes": "64MB"}, {"max_age": None}, {"negative_age": math.inf}]
)
def test_a_front(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"Front: {next(iter(arguments))} is"):
        Front(**arguments)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"payload": 1}, "row 1: predictionId is missing: the argument `id` is absent or None"),
        ({"predictionId": "a", "prediction": 1}, "row 1: predictionId is missing: the argument `id`"),
        ({"id": None, "payload": 1}, "row 1: predictionId is missing: the argument `id` is absent or None"),
        ((None, 1), "row 1: predictionId is missing: the argument `id` is absent or None"),
        ({"id": "a"}, "row 1, id 'a': prediction is missing: give the argument `payload`"),
        (
            {"id": "a", "payload": 1, "ttlSeconds": 5},
            "ttlSeconds is a field of the message: give it as the argument `ttl`",
        ),
        ({"id": "a", "payload": 1, "expiresAt": 5}, "give it as the argument `expires_at`"),
        ({"deleted": True}, "row 1: predictionId is missing: the argument `id` is absent or None"),
        ({"id": "a", "deleted": "yes"}, "row 1, id 'a': deleted is no boolean: send true for a delete"),
        (("a",), "row 1: is a tuple of 1: give a mapping"),
        (("a", 1, 2, 3), "row 1: is a tuple of 4: give a mapping"),
        ("user-42", "row 1: is str: give a mapping"),
        (["a", 1], "row 1: is list: give a mapping"),
    ],
)
def test_a_row(row: Any, text: str) -> None:
    encoder = Encoder(Rules(), "error")
    with pytest.raises(InvalidPredictionError, match=re.escape(text)):
        list(encoder.lines([("good", 1), row], None))


def test_an_attribute_named_deleted() -> None:
    with pytest.raises(InvalidPredictionError, match=r"deleted marks a delete: use delete\(\)"):
        Encoder(Rules(), "error").line("a", 1, None, None, None, {"deleted": True})


# --- a layout that is not the table's, and items that are not predcache's


@pytest.fixture
def make(aws: FakeAWS) -> Callable[..., predcache.Cache]:
    return lambda **options: predcache.Cache("t", endpoint_url=aws.url, session=SESSION, **options)


def test_a_wrong_layout(aws: FakeAWS, make: Callable[..., predcache.Cache]) -> None:
    refused = error("ValidationException", message="The provided key element does not match the schema")
    aws.script = lambda operation, body: refused
    text = (
        "the table 't' refuses reads by the key that layout= gives, 'predictionId' (S) and 'timestamp' (N): "
        "leave layout= out, or give the table's own layout (Query: ValidationException: The provided key element"
    )
    with make(layout="versioned") as cache:
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            cache.get("a")
        assert aws.count("Query") == 1, "it can't change"
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            cache.get_many(["a", "b"])
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            list(cache.history("a"))


async def _wrong_layout(aws: FakeAWS) -> None:
    async with aio.Cache("t", endpoint_url=aws.url, session=SESSION, layout="latest-only") as cache:
        with pytest.raises(ConfigurationError, match="layout= gives"):
            await cache.get("a")
        with pytest.raises(ConfigurationError, match="layout= gives"):
            await cache.get_many(["a", "b"])


def test_a_wrong_layout_in_asyncio(aws: FakeAWS) -> None:
    import asyncio

    aws.script = lambda operation, body: error("ValidationException")
    asyncio.run(_wrong_layout(aws))


def test_a_refused_read_of_a_layout_that_was_found(
    aws: FakeAWS, make: Callable[..., predcache.Cache]
) -> None:
    aws.script = lambda operation, body: error("ValidationException") if operation == "GetItem" else None
    with make() as cache, pytest.raises(predcache.ServiceError, match="ValidationException"):
        cache.get("a")


@pytest.mark.parametrize("missing", ["createdAt", "expiresAt"])
def test_an_item_that_predcache_did_not_write(
    aws: FakeAWS, make: Callable[..., predcache.Cache], missing: str
) -> None:
    aws.put("mine", 1)
    aws.put("theirs", 2)
    del aws.items["theirs"]["createdAt"]
    aws.items["theirs"].pop(missing, None)
    text = f"it was not written by predcache: .*{missing}.*; skip_foreign=True takes such items for misses"
    with make(layout="latest-only") as cache:
        with pytest.raises(ItemError, match=text):
            cache.get("theirs")
        with pytest.raises(PartialError, match="1 of 2 ids not read"):
            cache.get_many(["mine", "theirs"])
    with make(layout="latest-only", skip_foreign=True) as cache:
        assert cache.get("theirs") is None
        assert [p and p.payload for p in cache.get_many(["mine", "theirs"]).values()] == [1, None]
        assert list(cache.history("theirs")) == []


def test_a_ttl_attribute_that_layout_names_wrongly(
    aws: FakeAWS, make: Callable[..., predcache.Cache]
) -> None:
    aws.put("a", 1)
    layout = Layout(sort_key=None, ttl_attribute="ttl")
    with (
        make(layout=layout) as cache,
        pytest.raises(ItemError, match="'ttl' is missing.*check that layout="),
    ):
        cache.get("a")


def test_foreign_items_do_not_hide_the_sort_unit(
    aws: FakeAWS, make: Callable[..., predcache.Cache]
) -> None:
    """A bounded history learns the unit from the first item that is predcache's."""
    from table import Table

    layout = Layout.of("versioned")
    foreign = {"predictionId": {"S": "a"}, "timestamp": {"N": "4000000000"}, "score": {"N": "1"}}
    own = {
        "predictionId": {"S": "a"},
        "timestamp": {"N": "2000000000000"},
        "createdAt": {"N": "2000000000"},
        "expiresAt": {"N": "4000000000"},
        "prediction": {"S": "1"},
    }
    table = Table(layout, [foreign | {"timestamp": {"N": "9000000000000"}}, own], page=1)
    aws.script = lambda operation, body: Answer(table.call(operation, body))
    with make(layout=layout, skip_foreign=True) as cache:
        assert [p.payload for p in cache.history("a", since=2e9)] == [1]
        assert cache.get("a") is not None
