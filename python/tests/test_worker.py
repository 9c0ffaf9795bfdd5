"""The round trip: what was published is what is read, digit for digit, through the real worker."""

from __future__ import annotations

import json
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import world
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_contract import digits

from predcache import Cache, Layout, Publisher, Rules

pytestmark = world.needs(world.SQS, world.DYNAMODB, world.WORKER)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=20)
)
# What DynamoDB holds natively: 38 digits, 1E-130 to 9.9E+125.
native_numbers = st.integers(-(10**37), 10**37) | st.floats(
    1e-100, 1e100, allow_nan=False, allow_infinity=False
)
scalars = st.none() | st.booleans() | text
payloads = st.recursive(
    scalars | numbers, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5)
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(lambda n: "x" + n)
attributes = st.dictionaries(names, scalars | native_numbers, max_size=4)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)

# Layout, payload encoding, the publisher's and reader's JSON library, and the worker's other settings.
CASES = [
    ("versioned", "json", "orjson", {}),
    ("expiry-sorted", "json", "json", {}),
    ("latest-only", "json", "json", {}),
    ("versioned", "zstd", "orjson", {"WORKER_SORT_UNIT": "ms"}),
    ("latest-only", "map", "json", {"WORKER_ORDERING": "newest"}),
]


@pytest.mark.parametrize(
    ("kind", "encoding", "json_library", "extra"),
    CASES,
    ids=[f"{kind}-{encoding}" for kind, encoding, *_ in CASES],
    indirect=["json_library"],
)
def test_round_trip(kind: str, encoding: str, extra: dict[str, str], tmp_path: Path) -> None:
    table, queue = world.create_table(kind), world.create_queue()
    rules = Rules(layout=Layout.of(kind), payload_encoding=encoding)  # type: ignore[arg-type]
    publisher = Publisher(queue, endpoint_url=world.SQS, session=world.SESSION, rules=rules)
    cache = Cache(table, endpoint_url=world.DYNAMODB, session=world.SESSION, decimals=True)
    log = tmp_path / "worker.log"
    values = st.lists(native_numbers | scalars, max_size=8) if encoding == "map" else payloads
    published: dict[str, tuple[Any, dict[str, Any], int]] = {}
    at = int(time.time()) * 10**6 - 50_000_000

    # The examples are made first and go through one run of the worker, which is quicker than one each.
    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(ids, values, attributes, st.integers(0, 10**6))
    def example(id_: str, payload: Any, others: dict[str, Any], micros: int) -> None:
        id_ = f"{len(published)}/{id_}"
        published[id_] = payload, others, at + micros
        publisher.publish(id_, payload, timestamp=at + micros, ttl=3600, **others)

    example()
    publisher.publish("the longest" + "é" * 1018 + "x", "x" * 300_000, timestamp=at)
    published["the longest" + "é" * 1018 + "x"] = "x" * 300_000, {}, at
    publisher.close()
    with world.worker(queue, table, log, WORKER_PAYLOAD_ENCODING=encoding, **extra):
        world.eventually(lambda: None not in cache.get_many(published).values(), log)
    found = cache.get_many(published)
    assert len(found) > 100
    for id_, (payload, others, micros) in published.items():
        got = found[id_]
        assert got is not None
        assert got.id == id_
        assert got.event_time_exact == Decimal(micros) / 10**6
        assert got.expires == micros // 10**6 + (86400 if id_.startswith("the longest") else 3600)
        assert digits(got.payload) == digits(payload)
        assert digits(json.loads(got.text, parse_float=Decimal)) == digits(payload)
        assert digits(got.attributes) == digits(others)
        if kind != "latest-only":
            assert [p.text for p in cache.history(id_)] == [got.text]


def test_get_or_compute_is_written_behind(tmp_path: Path) -> None:
    table, queue = world.create_table("versioned"), world.create_queue()
    log = tmp_path / "worker.log"
    with (
        world.worker(queue, table, log),
        Publisher(queue, endpoint_url=world.SQS, session=world.SESSION) as publisher,
        Cache(table, endpoint_url=world.DYNAMODB, session=world.SESSION, publisher=publisher) as cache,
    ):
        made = cache.get_or_compute("user-42", lambda: {"score": 0.93}, model="churn")
        world.eventually(lambda: cache.get("user-42") is not None, log)
        read = cache.get("user-42")
        assert read is not None
        assert (read.text, read.attributes, read.created) == (made.text, made.attributes, made.created)


DELETES = [
    ("versioned", "hide", {"WORKER_SORT_UNIT": "ms"}),
    ("versioned", "hide", {"WORKER_ORDERING": "newest"}),
    ("expiry-sorted", "hide", {"WORKER_ORDERING": "newest"}),
    ("latest-only", "hide", {"WORKER_ORDERING": "newest"}),
    ("versioned", "remove", {"WORKER_SORT_UNIT": "ms"}),
    ("expiry-sorted", "remove", {"WORKER_ORDERING": "newest"}),
]


@pytest.mark.parametrize(("kind", "deletes", "extra"), DELETES)
@pytest.mark.parametrize("json_library", ["orjson"], indirect=True)
def test_deletes(kind: str, deletes: str, extra: dict[str, str], tmp_path: Path) -> None:
    """Predictions and deletes of 60 ids, sent in any order: a reader finds what is newer than the last delete."""
    table, queue = world.create_table(kind), world.create_queue()
    log = tmp_path / "worker.log"
    rng = random.Random(7)
    now = int(time.time())
    sent: list[tuple[str, float, bool]] = []
    for i in range(60):
        # An event time for each second, some fractions of it, and some of both kinds.
        times = [
            now - 40 + rng.randrange(30) + rng.choice([0, 0.25, 0.5]) for _ in range(rng.randint(1, 6))
        ]
        sent += [(f"user-{i}", t, rng.random() < 0.4) for t in times]
        sent += [(id_, t, not deleted) for id_, t, deleted in sent[-1:] if rng.random() < 0.5]
    rng.shuffle(sent)
    deleted = {id_: max((t for i, t, d in sent if d and i == id_), default=0.0) for id_, *_ in sent}
    visible = {
        id_: sorted({t for i, t, d in sent if not d and i == id_ and t > deleted[id_]}) for id_ in deleted
    }
    with Publisher(queue, endpoint_url=world.SQS, session=world.SESSION) as publisher:
        for id_, t, delete in sent:
            if delete:
                publisher.delete(id_, timestamp=t)
            else:
                publisher.publish(id_, t, timestamp=t, ttl=3600)
    want = {id_: times[-1] if times else None for id_, times in visible.items()}
    assert None in want.values()
    with (
        world.worker(queue, table, log, WORKER_DELETES=deletes, **extra),
        Cache(table, endpoint_url=world.DYNAMODB, session=world.SESSION) as cache,
    ):

        def found() -> dict[str, Any]:
            return {id_: p and p.payload for id_, p in cache.get_many(want).items()}

        def drained() -> bool:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            got = world.sqs().get_queue_attributes(QueueUrl=queue, AttributeNames=names)
            return {int(n) for n in got["Attributes"].values()} == {0}

        world.eventually(drained, log)
        assert found() == want
        for id_, times in visible.items():
            history = [p.payload for p in cache.history(id_)]
            assert history[:1] == times[::-1][:1]
            assert set(history) <= set(times)
            if "WORKER_SORT_UNIT" in extra:  # where each has an item of its own
                assert history == times[::-1]
                assert [p.payload for p in cache.history(id_, until=now)] == times[::-1]
                assert [p.payload for p in cache.history(id_, oldest_first=True)] == times
        if deletes == "hide":
            return
        with Publisher(queue, endpoint_url=world.SQS, session=world.SESSION) as publisher:
            for id_ in want:
                publisher.delete(id_, timestamp=now)
        world.eventually(drained, log)
        pages = world.dynamodb().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        left = [item for page in pages for item in page["Items"]]
        assert {item["predictionId"]["S"] for item in left} == set(want)
        assert all(item["deleted"] == {"BOOL": True} for item in left)
        assert not any(found().values())
